# Whom a notice is about, on a phone that others may read: one SMS, no place to fill, no topic.

news = একটা খবর আছে। সময় হলে যোগাযোগ করবেন।
how_are_you = কেমন আছেন? সময় হলে কথা হবে।
