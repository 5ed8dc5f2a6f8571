// Verify .tlog-proof files with Sigstore's own verifier: the signed checkpoint, and the path that leads to it.
//
//     NODE_PATH=… node sigstore.js KEY FILE...
//
// Anything that does not hold ends it with exit code 1 and the reason.
"use strict";

const { readFileSync } = require("node:fs");
const { createPublicKey } = require("node:crypto");
const { verifyTLogInclusion } = require("@sigstore/verify/dist/tlog");

// The start of an Ed25519 public key in DER, before its 32 bytes (RFC 8410).
const ED25519_DER = Buffer.from("302a300506032b6570032100", "hex");

function readKey(text) {
  const [name, id, key] = text.split(/\+(.{8})\+/);
  const raw = Buffer.from(key, "base64").subarray(1);
  const publicKey = createPublicKey({ key: Buffer.concat([ED25519_DER, raw]), format: "der", type: "spki" });
  return { baseURL: name, logID: Buffer.from(id, "hex"), publicKey };
}

function readProof(file) {
  const text = readFileSync(file, "utf8");
  const end = text.indexOf("\n\n");
  const [header, extra, index, ...hashes] = text.slice(0, end).split("\n");
  if (header !== "c2sp.org/tlog-proof@v1") throw new Error(`${file} is no proof file`);
  return {
    canonicalizedBody: Buffer.from(extra.slice("extra ".length), "base64"),
    inclusionProof: {
      logIndex: index.slice("index ".length),
      hashes: hashes.map((hash) => Buffer.from(hash, "base64")),
      checkpoint: { envelope: text.slice(end + 2) },
    },
  };
}

const [key, ...files] = process.argv.slice(2);
try {
  for (const file of files) verifyTLogInclusion(readProof(file), [readKey(key)]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
