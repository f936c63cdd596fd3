"""A session with redis-py's cluster client, with the settings that it has by itself.

Arguments: the addresses of all nodes. It prints `ready` when the first part has passed. Then it writes, a line for each
write that was acknowledged, until it reads `killed` and has written as much again; every retry is the client's own. At last
it reads everything back, and prints `done`.
"""

import os
import sys
import threading

from redis.backoff import ConstantBackoff
from redis.cluster import LoadBalancingStrategy, RedisCluster
from redis.exceptions import ResponseError
from redis.retry import Retry

AFTER_THE_KILL = 100


def connect(address, **settings):
    host, port = address.rsplit(":", 1)
    # A leader is elected within seconds. The client does not pause after a connection was refused, so it takes a few hundred
    # attempts at a dead leader in each of them.
    retry = Retry(ConstantBackoff(0.1), 100_000)
    return RedisCluster(host=host, port=int(port), retry=retry, decode_responses=True, **settings)


def every_command(client, prefix):
    key = lambda name: f"{prefix}-{name}"
    assert client.ping()
    assert client.echo("a word", target_nodes=client.get_default_node()) == "a word"
    assert client.set(key("greeting"), "hello")
    assert client.get(key("greeting")) == "hello"
    assert client.get(key("nothing")) is None
    assert client.append(key("greeting"), " again") == 11
    assert client.append(key("appended"), "new") == 3
    assert client.setnx(key("greeting"), "other") is False
    assert client.setnx(key("first"), "one") is True
    assert [client.incr(key("count")) for _ in range(3)] == [1, 2, 3]
    # One leader owns every slot, but the client sends a request for several keys only where they share theirs.
    assert client.mset({f"{{{prefix}}}a": "1", f"{{{prefix}}}b": "2"})
    assert client.mget(f"{{{prefix}}}a", f"{{{prefix}}}none", f"{{{prefix}}}b") == ["1", None, "2"]
    assert client.mset_nonatomic({key("x"): "10", key("y"): "20"})
    assert client.mget_nonatomic(key("x"), key("y"), key("none")) == ["10", "20", None]
    assert client.exists(key("x"), key("y"), key("none")) == 2
    assert client.delete(key("x"), key("none")) == 1
    assert client.exists(key("x")) == 0
    pipeline = client.pipeline()
    pipeline.set(key("piped"), "1").incr(key("piped")).get(key("piped")).append(key("piped"), "0").get(key("piped"))
    assert pipeline.execute() == [True, 2, "2", 2, "20"]
    try:
        client.execute_command("LPUSH", key("list"), "1", target_nodes=client.get_default_node())
    except ResponseError as refused:
        assert str(refused).startswith("unknown command 'LPUSH'"), refused
    else:
        raise AssertionError("a command that nobody knows was accepted")


def what_nodes_tell(client, addresses):
    node = client.get_default_node()
    assert {f"{node.host}:{node.port}" for node in client.get_nodes()} == set(addresses)
    assert len(client.get_primaries()) == 1
    assert client.config_get("save", "append*", target_nodes=node) == {"save": "", "appendonly": "yes"}
    assert client.cluster_info(target_nodes=node)["cluster_state"] == "ok"
    assert client.client_setname("session", target_nodes=node)
    assert client.info("raft", target_nodes=node)["role"] == "leader"
    assert client.command_count(target_nodes=node) == len(client.command(target_nodes=node))
    assert len(client.cluster_nodes()) == len(addresses)
    assert client.cluster_shards(target_nodes=node)[0]["slots"] is not None


def read_at_replicas(client):
    # Allowed to be stale (`READONLY`), a follower points to the leader all the same.
    for number in range(10):
        assert client.set("replicated", str(number))
        assert client.get("replicated") == str(number)


def write_through_a_kill(client):
    killed = threading.Event()
    threading.Thread(target=lambda: sys.stdin.readline() and killed.set(), daemon=True).start()
    written = []
    after = 0
    while after < AFTER_THE_KILL:
        after += killed.is_set()
        key = f"through-{len(written)}"
        try:
            assert client.set(key, f"value of {key}")
        except ResponseError as unknown:
            # The client must not send again what may have been done, so it does not; a SET may be.
            assert "outcome unknown" in str(unknown), unknown
            continue
        written.append(key)
        print("wrote", key, flush=True)
    for start in range(0, len(written), 100):
        some = written[start : start + 100]
        assert client.mget_nonatomic(some) == [f"value of {key}" for key in some]


def main(addresses):
    for place, address in enumerate(addresses):
        with connect(address) as client:
            every_command(client, f"node-{place}-{os.getpid()}")
            what_nodes_tell(client, addresses)
    with connect(addresses[0], protocol=2) as client:
        every_command(client, f"resp2-{os.getpid()}")
    with connect(addresses[0], load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN) as client:
        read_at_replicas(client)
    print("ready", flush=True)
    with connect(addresses[0]) as client:
        write_through_a_kill(client)
    print("done", flush=True)


main(sys.argv[1:])
