// The runtimes, each timed on an image whose answer is known.

/** Largest difference of a probability from the known answer. */
const TOLERANCE = 0.02;

/** Largest difference of the distance, as a share of it (or of 1, if that is more). */
const DISTANCE_TOLERANCE = 0.02;

/** A runtime that has not answered by then is given up, in milliseconds. */
const PATIENCE = 60_000;

/** One runtime in a worker of its own: when it ends, all of its memory is free again. */
class Engine {
  constructor(script) {
    this.worker = new Worker(URL.createObjectURL(script), { type: "module" });
    this.last = Promise.resolve();
    this.asked = 0;
  }

  /** One request after the other: what came first is answered first. */
  ask(action, input) {
    const answer = this.last.then(() => this.#post(action, input));
    this.last = answer.catch(() => {});
    return answer;
  }

  #post(action, input) {
    const id = ++this.asked;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("It did not answer in time.")), PATIENCE);
      const end = (settle) => (value) => (clearTimeout(timer), settle(value));
      this.worker.onerror = (event) => end(reject)(new Error(event.message || "It could not be started."));
      this.worker.onmessage = ({ data }) => {
        if (data.id !== id) return; // too late
        if ("error" in data) end(reject)(Object.assign(new Error(data.error), { unreadable: data.unreadable }));
        else end(resolve)(data.value);
      };
      this.worker.postMessage({ id, action, input });
    });
  }

  /** Once it has answered what it was asked. */
  end() {
    this.last.then(() => this.worker.terminate());
  }
}

/**
 * Start each candidate, and time it on the known image. `onTrial` is told of each as it ends:
 * { name, engine, milliseconds, wrong }; `wrong` is why one is not used, and null for one that may be.
 */
export async function tryCandidates(page, candidates, model, onTrial) {
  for (const { name, ...runtime } of candidates) {
    const engine = new Engine(model.script);
    const trial = { name, engine, milliseconds: null, wrong: null };
    try {
      await engine.ask("open", { ...runtime, ...model.opened });
      trial.milliseconds = await time(engine, page, model.known);
    } catch (error) {
      trial.wrong = error.message;
    }
    onTrial(trial);
  }
}

/** Milliseconds of an image, once the engine has given the known answer. */
async function time(engine, page, known) {
  let best = Infinity;
  let spent = 0;
  for (let run = 0; run < 2 || (run < 5 && spent < 1000); run++) {
    const { seconds, ...answer } = await engine.ask("classify", { image: known });
    check(answer, page.known);
    if (run > 0) best = Math.min(best, seconds * 1000); // the first one prepares the runtime
    spent += seconds * 1000;
  }
  return best;
}

function check(answer, known) {
  const differences = known.probabilities.map((value, i) => Math.abs(value - answer.probabilities[i]));
  const off = Math.max(...differences);
  const far = known.distance === null ? 0 : Math.abs(answer.distance - known.distance);
  if (!(off <= TOLERANCE)) throw new Error(`Its answer to the known image is wrong (by ${off.toFixed(3)}).`);
  if (!(far <= DISTANCE_TOLERANCE * Math.max(1, Math.abs(known.distance)))) {
    throw new Error(`Its distance of the known image is wrong (by ${far.toFixed(3)}).`);
  }
}
