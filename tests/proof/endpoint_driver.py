"""Starts a Paddle Serving service and runs commands against it.

Reads JSON on stdin: what ``started.service`` takes, and ``commands`` (lists of arguments); prints
``[code, stdout, stderr]`` of each as JSON. Status 3: no network of its own can be made here.
"""

import json
import subprocess

from started import isolated_request, service


def main() -> None:
    request = isolated_request()
    results = []
    with service(request):
        for command in request["commands"]:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            results.append([done.returncode, done.stdout, done.stderr])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
