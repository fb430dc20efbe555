# Workers of a provider: what is to be done, and never about whom. The text is one SMS; a letter is
# `.subject` and `.body`.

answer_asked = আপনার উত্তরের অপেক্ষায় একটি অনুরোধ। লিখুন: হ্যাঁ { $code } বা না { $code }
    .subject = আপনার উত্তরের অপেক্ষায় একটি অনুরোধ
    .body =
        একটি অনুরোধ আপনার উত্তরের অপেক্ষায় আছে।

        এখানে দেখুন ও উত্তর দিন: { $url }
        অথবা এসএমএসে লিখুন: হ্যাঁ { $code } বা না { $code }
