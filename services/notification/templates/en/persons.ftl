# Whom a notice is about, on a phone that others may read: one SMS, no place to fill, no topic.

news = There is some news. Please get in touch when you have time.
how_are_you = How are you? Let us talk when you have time.
