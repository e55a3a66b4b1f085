"""One worker process of `write_drawn`: draws its share and writes a byte to stdout for each image.

python -m foodvision.drawings FOLDER TRAIN_PER_CLASS TEST_PER_CLASS WORKERS WORKER
"""

import sys
from pathlib import Path

from foodvision.drawings.draw import draw_share

folder, (train, test, workers, worker) = Path(sys.argv[1]), map(int, sys.argv[2:])
try:
    for _ in draw_share(folder, {"train": train, "test": test}, workers, worker):
        sys.stdout.buffer.write(b".")
        sys.stdout.buffer.flush()
except OSError as error:
    sys.exit(str(error.strerror or error))
