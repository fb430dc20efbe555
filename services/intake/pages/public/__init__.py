"""The pages that anybody may open: telling, coming back with the secret number, help, reading.

They know nobody: no cookie, nothing kept in the browser, nothing in an address or a title that
tells what they are about. Each works without a script.
"""
