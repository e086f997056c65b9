"""The same uploads and reads, played against Debian's notary-server 0.7.0 and against ours.

Every case of the tables in `test_*.py` is one small play on a repository of its own. It says whether both
servers must agree or whether it shows one of the numbered flaws of docs/reference/protocol.md, 24: then the
flaw itself is demonstrated on the old server and the sound answer asserted on ours. After each play the
whole repository is read back by a strict client from both servers, and compared too: served bytes, what the
server signed, and the changefeed. What may differ without being a fault stands in `freedoms.py`, once.

Not covered: flaw 21 (a null in a token's access list), as token authentication is not part of the server yet.
"""
