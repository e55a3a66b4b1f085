// Run by transformers_js.py, in Node and in a browser: probabilities of images by an exported folder.
import { env, pipeline } from "@huggingface/transformers";

export async function classifyAll(models, model, dtypes, images) {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = models;
  const answers = {};
  for (const dtype of dtypes) {
    const options = dtype === "default" ? {} : { dtype };
    const classify = await pipeline("image-classification", model, options);
    answers[dtype] = [];
    for (const image of images) {
      const scores = await classify(image, { top_k: null });
      answers[dtype].push(Object.fromEntries(scores.map(({ label, score }) => [label, score])));
    }
  }
  return answers;
}

if (globalThis.process?.argv) {
  const { readFileSync, writeFileSync } = await import("node:fs");
  const [task, to] = process.argv.slice(2);
  const { models, model, dtypes, images } = JSON.parse(readFileSync(task, "utf8"));
  writeFileSync(to, JSON.stringify(await classifyAll(models, model, dtypes, images)));
}
