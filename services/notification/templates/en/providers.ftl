# Workers of a provider: what is to be done, and never about whom. The text is one SMS; a letter is
# `.subject` and `.body`.

answer_asked = A request waits for your answer. Reply: YES { $code } or NO { $code }
    .subject = A request waits for your answer
    .body =
        A request waits for your answer.

        See it and answer here: { $url }
        Or reply by SMS: YES { $code } or NO { $code }
