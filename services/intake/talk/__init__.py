"""One conversation for every channel that asks: `talk.toml` says what is asked, in two languages.

`definition` reads it, `engine` follows it purely, `body` makes a report of the answers, and
`sessions` keeps a conversation until it is stored as a submission.
"""
