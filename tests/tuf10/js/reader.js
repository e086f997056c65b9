// Updates with tuf-js and writes what it finds: node reader.js METADATA_URL TARGETS_URL FOLDER PATH...
"use strict";
const { Updater } = require("tuf-js");
const fs = require("node:fs");

async function main([metadata, targets, folder, ...paths]) {
  const updater = new Updater({
    metadataDir: folder,
    targetDir: folder,
    metadataBaseUrl: metadata,
    targetBaseUrl: targets,
    config: { prefixTargetsWithHash: false },
  });
  await updater.refresh();
  const found = {};
  for (const path of paths) {
    const info = await updater.getTargetInfo(path);
    found[path] = info === undefined ? null : info.hashes.sha256;
  }
  const version = (role) => JSON.parse(fs.readFileSync(`${folder}/${role}.json`)).signed.version;
  console.log(JSON.stringify({ found, root: version("root"), timestamp: version("timestamp") }));
}

main(process.argv.slice(2)).catch((error) => {
  console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
});
