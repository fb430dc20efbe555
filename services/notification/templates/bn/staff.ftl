# Whoever is on duty: as neutral as to a person, for it is read on a lock screen at night. A count is
# at most 99+.

look_now = দয়া করে এখনই দেখুন। আপনার অপেক্ষায় আছে।
digest = আপনার অপেক্ষায় আছে { $count }টি কাজ, জরুরি { $soon }টি। সময়মতো দেখুন।
