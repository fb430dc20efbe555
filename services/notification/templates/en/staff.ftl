# Whoever is on duty: as neutral as to a person, for it is read on a lock screen at night.

look_now = Please look now. Something waits for you.
digest = { $count } things wait for you, { $soon } of them soon. Please look today.
