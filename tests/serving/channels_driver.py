"""Run in the managed Paddle Serving: what the channels of a service do, as JSON. The service's folder is the argument."""

import json
import multiprocessing
import sys
import time

sys.path.insert(0, sys.argv[1])
import channels
from paddle_serving_server.pipeline import channel, dag

channels.prepare()
found = {"replaced": dag.ProcessChannel is channels.Channel, "manager": dag.PipelineProcSyncManager()}


def data(number, size=0):
    return channel.ChannelData(datatype=channel.ChannelDataType.DICT.value, dictdata={"x": "x" * size}, data_id=number)


def made(*producers, **options):
    new = dag.ProcessChannel(None, name="c", **options)
    for name in producers:
        new.add_producer(name)
    new.add_consumer("op")
    return new


def timed_out(asked, seconds):
    started = time.monotonic()
    try:
        asked.front("op", seconds)
    except channel.ChannelTimeoutError:
        return time.monotonic() - started >= seconds
    return False


def answer(asked, answers):
    while True:
        ((name, one),) = asked.front("op").items()
        answers.push(one, name + " answered")


one, back = made("@DAGExecutor"), made("op")
found["empty"] = timed_out(one, 0.05)
large = 1 << 20  # more than a pipe holds, and nobody reads yet
for number in range(50):
    one.push(data(number, large if number % 10 == 0 else number), "@DAGExecutor")
found["waiting"] = one.size()
workers = [multiprocessing.Process(target=answer, args=(one, back), daemon=True) for _ in range(2)]
for worker in workers:
    worker.start()
got = [next(iter(back.front("@DAGExecutor", 60).items())) for _ in range(50)]
found["names"] = sorted({name for name, _ in got})
found["answered"] = sorted(answer.id for _, answer in got) == list(range(50))
found["sizes"] = all(len(d.dictdata["x"]) == (large if d.id % 10 == 0 else d.id) for _, d in got)
found["left"] = [one.size(), back.size()]
for worker in workers:
    worker.kill()
several, bounded = made("a", "b"), made("a", maxsize=3)
found["general"] = [type(several) is channel.ProcessChannel, type(bounded) is channel.ProcessChannel]
several.push(data(1), "a")
several.push(data(1), "b")
found["together"] = sorted(several.front("op", 60))
print(json.dumps(found))
