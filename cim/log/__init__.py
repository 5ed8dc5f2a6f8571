"""The verifiable change log: an RFC 6962 Merkle tree over canonical entries, published in the C2SP formats.

Every module but `sequencer`, `publisher` and `audit` is a pure function of bytes or files; none of those here
imports a database or a network. Read them in the order a change travels:

entry       a revision becomes canonical bytes
tree        entries become a Merkle tree: roots, inclusion and consistency proofs, and their verification
tiles       the tree becomes a folder of static files
checkpoint  a tree head as text
note        text signed with Ed25519
signer      the deployment's key and its memory of what it signed
proof       one entry's proof as one file
verify      that file checked by anyone, offline
"""
