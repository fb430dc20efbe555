# Whoever is on duty: as neutral as to a person, for it is read on a lock screen at night.

look_now = দয়া করে এখনই দেখুন। আপনার অপেক্ষায় আছে।
