# SPDX-License-Identifier: MIT
"""The network end to end: addresses, ping, HTTP, echo, and what the world does to a server on it."""

import concurrent.futures
import json
import random
import re
import socket
import subprocess
import time

import pytest
from harness import Guest

ADDRESS = "192.168.77.2"
STATIC = f"ip={ADDRESS}/24,192.168.77.1"


def wait_until_served(guest):
    guest.wait_for(r"^serving on http://", 20)


def status(guest):
    return json.loads(guest.get("/status.json"))


def test_a_lease_from_the_user_network_and_the_pages():
    with Guest("aerostat", net="user", forwards=[80]) as guest:
        guest.wait_for(r"^eth0: address 10\.0\.2\.15/24, gateway 10\.0\.2\.2 \(dhcp\)", 20)
        wait_until_served(guest)
        page = guest.get("/").decode()
        assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
        facts = status(guest)
        assert facts["system"]["version"] and facts["network"]["interface"][0]["address"] == "10.0.2.15/24"
        metrics = guest.get("/metrics").decode()
        for line in metrics.splitlines():
            assert re.fullmatch(r'[a-z_]+(\{[^{}]*\})? \d+', line), line
        with pytest.raises(Exception, match="404"):
            guest.get("/no/such/page")


def test_a_lease_from_dnsmasq_and_ping_both_ways(network, tmp_path):
    network.serve_dhcp(tmp_path)
    with Guest("aerostat", net=network.nic(), netns=network.name) as guest:
        found = guest.wait_for(r"^eth0: address (192\.168\.77\.\d+)/24.*\(dhcp\)", 20)
        wait_until_served(guest)
        address = found.group(1)
        assert " 0% packet loss" in network.run("ping", "-c", "3", "-i", "0.2", "-W", "10", address)
        assert " 0% packet loss" in network.run("ping", "-c", "2", "-i", "0.2", "-W", "10", "-s", "1472", "-M", "do", address)
        assert " 0% packet loss" in network.run("ping", "-c", "2", "-i", "0.2", "-W", "10", "-s", "4000", address)
        assert json.loads(network.run("curl", "-sS", f"http://{address}/status.json"))["network"]
        assert "DHCPACK" in (tmp_path / "dnsmasq.log").read_text()


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_echo_returns_every_byte(network, ring, irq):
    with Guest("aerostat", net=network.nic(options="packed=on"), netns=network.name,
               cmdline=f"{STATIC} ring={ring} irq={irq} -- echo=7") as guest:
        guest.wait_for(r"^echo on port 7$", 20)
        sent = random.Random(7).randbytes(3 << 20)
        script = ("import socket,sys,threading\n"
                  f"s=socket.create_connection(('{ADDRESS}',7),10)\n"
                  "data=sys.stdin.buffer.read()\n"
                  "threading.Thread(target=lambda:(s.sendall(data),s.shutdown(1))).start()\n"
                  "got=b''\n"
                  "while len(got)<len(data):\n"
                  "  piece=s.recv(65536)\n"
                  "  if not piece: break\n"
                  "  got+=piece\n"
                  "print(got==data,len(got))\n")
        done = subprocess.run(["ip", "netns", "exec", network.name, "/usr/bin/python3", "-c", script], input=sent,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        assert done.stdout.decode().strip() == f"True {len(sent)}"


def test_checksums_are_left_to_the_device_on_a_tap(network):
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=STATIC) as guest:
        wait_until_served(guest)
        facts = json.loads(network.run("curl", "-sS", f"http://{ADDRESS}/status.json"))
        assert {"tx-checksumming", "rx-checksumming"} <= set(facts["network"]["interface"][0]["offloads"]), \
            facts["network"]["interface"][0]["offloads"]


def test_sixteen_clients_at_once_get_whole_pages():
    with Guest("aerostat", net="user", forwards=[80]) as guest:
        wait_until_served(guest)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            pages = list(pool.map(lambda _: guest.get("/", deadline=20), range(64)))
        assert len(set(pages)) == 1


def test_a_spinning_application_does_not_stop_the_pages(network):
    with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- spin") as guest:
        guest.wait_for(r"^spinning$", 20)
        assert " 0% packet loss" in network.run("ping", "-c", "3", "-i", "0.2", "-W", "10", ADDRESS)
        assert json.loads(network.run("curl", "-sS", f"http://{ADDRESS}/status.json"))["system"]


@pytest.mark.parametrize("size", [0, 56, 1400])
def test_the_guest_pings_its_host(network, size):
    with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- ping 192.168.77.1 {size}") as guest:
        guest.wait_for(rf"^{size} bytes from 192\.168\.77\.1$", 20)
        assert guest.wait_exit() == 0


def test_a_ping_to_nobody_fails_in_time(network):
    with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- ping 192.168.77.99") as guest:
        assert guest.wait_exit(20) == 1


def test_a_name_is_resolved_by_dnsmasq(network, tmp_path):
    network.serve_dhcp(tmp_path, "192.168.77.50", "192.168.77.99", "--address=/aerostat.test/10.1.2.3")
    for name, answer, result in [("aerostat.test", r"^aerostat\.test is 10\.1\.2\.3$", 0), ("nowhere.invalid", r"not found", 1)]:
        with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"-- resolve {name}") as guest:
            guest.wait_for(answer, 30)
            assert guest.wait_exit() == result


def test_a_datagram_is_answered(network, tmp_path):
    server = ("import socket\n"
              "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('192.168.77.1',5000))\n"
              "data,who=s.recvfrom(100); s.sendto(data.upper(),who)\n")
    network.spawn("/usr/bin/python3", "-c", server)
    time.sleep(0.5)
    with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- udp 192.168.77.1 5000") as guest:
        guest.wait_for(r"^answer: KNOCK$", 20)
        assert guest.wait_exit() == 0


def test_interfaces_are_described_as_ifconfig_and_ethtool_do(network):
    with Guest("netprobe", net=network.nic(options="mac=52:54:00:ab:cd:ef,host_mtu=1400"), netns=network.name,
               cmdline=f"{STATIC} -- interfaces") as guest:
        assert guest.wait_exit() == 0
        for expected in ["eth0", "52:54:00:ab:cd:ef", "1400", ADDRESS, "virtio_net", "tx-checksumming"]:
            assert expected in guest.log, expected


def test_calls_that_cannot_be_end_in_an_error(network):
    with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- errors") as guest:
        assert guest.wait_exit() == 0


@pytest.mark.proves("NET-CFG-06")
def test_the_link_going_down_and_up_is_seen(network):
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=STATIC) as guest:
        wait_until_served(guest)
        guest.qmp("set_link", name="nic0", up=False)
        guest.wait_for(r"^eth0: link (is )?down", 10)
        guest.qmp("set_link", name="nic0", up=True)
        guest.wait_for(r"^eth0: link (is )?up", 10)
        assert " 0% packet loss" in network.run("ping", "-c", "2", "-i", "0.2", "-W", "10", ADDRESS)


def test_frames_of_every_length_do_no_harm(network):
    """Raw frames from too short to as large as the tap takes, well-formed headers over garbage."""
    script = ("import socket,random\n"
              "s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\n"
              "s.bind(('tap0',0))\n"
              "r=random.Random(1)\n"
              "sent=0\n"
              "for n in list(range(14,120))+list(range(120,1515,37))+[1514]:\n"
              "  for kind in (b'\\x08\\x00',b'\\x08\\x06',b'\\x86\\xdd',r.randbytes(2)):\n"
              "    frame=b'\\xff'*6+r.randbytes(6)+kind+r.randbytes(n-14)\n"
              "    try:\n"
              "      s.send(frame); sent+=1\n"
              "    except OSError: pass\n"
              "print(sent)\n")
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=STATIC) as guest:
        wait_until_served(guest)
        assert int(network.run("/usr/bin/python3", "-c", script)) > 400
        assert " 0% packet loss" in network.run("ping", "-c", "2", "-i", "0.2", "-W", "10", ADDRESS)
        assert json.loads(network.run("curl", "-sS", f"http://{ADDRESS}/status.json"))["network"]


@pytest.mark.parametrize("request_bytes", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 4000, b"GET /" + b"a" * 9000 + b" HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.0\r\nContent-Length: 99999999\r\n\r\n", b"GET /../../etc/passwd HTTP/1.0\r\n\r\n",
    b"GET /%00 HTTP/1.0\r\n\r\n", random.Random(3).randbytes(2000)], ids=range(9))
def test_garbage_over_http_does_no_harm(request_bytes):
    with Guest("aerostat", net="user", forwards=[80]) as guest:
        wait_until_served(guest)
        with socket.create_connection(("127.0.0.1", guest.ports[80]), 5) as connection:
            connection.settimeout(2)
            connection.sendall(request_bytes)
            try:
                connection.recv(65536)
            except (TimeoutError, ConnectionError):
                pass
        assert status(guest)["system"]


def test_a_thousand_connections_at_once_do_not_stop_the_server(network):
    script = ("import socket,time\n"
              "held=[]\n"
              "for i in range(1000):\n"
              "  s=socket.socket(); s.setblocking(False)\n"
              "  try: s.connect(('192.168.77.2',80))\n"
              "  except BlockingIOError: pass\n"
              "  held.append(s)\n"
              "time.sleep(2)\n"
              "for s in held: s.close()\n"
              "print(len(held))\n")
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=STATIC, deadline=90) as guest:
        wait_until_served(guest)
        assert network.run("bash", "-c", f"ulimit -n 4096; exec /usr/bin/python3 -c \"{script}\"").strip() == "1000"
        end = time.monotonic() + 40
        while True:
            try:
                assert json.loads(network.run("curl", "-sS", "-m", "5", f"http://{ADDRESS}/status.json"))["system"]
                break
            except AssertionError:
                if time.monotonic() > end:
                    raise
        assert " 0% packet loss" in network.run("ping", "-c", "2", "-i", "0.2", "-W", "10", ADDRESS)


SAME_PORT = f"""
import socket, time
n = 0
end = time.monotonic() + 50
for i in range(50):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("0.0.0.0", 40000))
        s.settimeout(10)
        while time.monotonic() < end:
            try:
                s.connect(("{ADDRESS}", 80))
                break
            except OSError as error:
                if error.errno != 99: # EADDRNOTAVAIL: the end of the one before was not acknowledged yet
                    raise
        s.sendall(b"GET /status.txt HTTP/1.0\\r\\n\\r\\n")
        page = b""
        while part := s.recv(65536):
            page += part
        n += page.startswith(b"HTTP/1.0 200") and len(page) > 500
print(n)
"""


def test_a_client_takes_one_port_for_all_its_connections(network):
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=STATIC) as guest:
        wait_until_served(guest)
        assert network.run("/usr/bin/python3", "-c", SAME_PORT, deadline=60).strip() == "50"


def test_an_idle_http_connection_is_closed_within_its_limit():
    with Guest("aerostat", net="user", forwards=[80]) as guest:
        wait_until_served(guest)
        with socket.create_connection(("127.0.0.1", guest.ports[80]), 5) as silent:
            silent.settimeout(30)
            began = time.monotonic()
            try:
                assert silent.recv(100) == b""
            except ConnectionError:
                pass
            assert 5 < time.monotonic() - began < 25
        assert status(guest)["system"]


MANY_CLIENTS = f"""
import socket
clients, served = [], 0
for i in range(100):
    s = socket.create_connection(("{ADDRESS}", 7), 10)
    s.settimeout(5)
    clients.append(s)
for s in clients:
    try:
        s.sendall(b"hello")
        served += s.recv(5) == b"hello"
    except ConnectionError:
        pass
for s in clients:
    s.close()
again = 0
for i in range(64):
    s = socket.create_connection(("{ADDRESS}", 7), 10)
    s.settimeout(5)
    s.sendall(b"again")
    again += s.recv(5) == b"again"
    s.close()
print(served, again)
"""


def test_of_a_hundred_echo_clients_as_many_are_served_as_there_are_places(network):
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- echo=7") as guest:
        guest.wait_for(r"^echo on port 7$", 20)
        assert network.run("/usr/bin/python3", "-c", MANY_CLIENTS).split() == ["64", "64"]


SLOW_READERS = f"""
import json, resource, socket, urllib.request
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = []
def open_slow(port, text):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    s.settimeout(5)
    held.append(s)
    try:
        s.connect(("{ADDRESS}", port))
        s.sendall(text)
    except OSError:
        pass
for i in range(20):
    open_slow(7, b"x" * 60000)
for i in range(1000):
    open_slow(80, b"GET /status.json HTTP/1.0\\r\\n\\r\\n")
s = socket.create_connection(("{ADDRESS}", 7), 10)
s.settimeout(10)
s.sendall(b"hello")
assert s.recv(5) == b"hello"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
with opener.open("http://{ADDRESS}/status.json", timeout=10) as reply:
    network = json.load(reply)["network"]
print(network["heap_held_bytes"], network["heap_refused"])
"""


def test_slow_readers_stop_nobody_and_hold_little(network):
    with Guest("aerostat", net=network.nic(), netns=network.name, cmdline=f"{STATIC} -- echo=7", deadline=90) as guest:
        guest.wait_for(r"^echo on port 7$", 20)
        held, refused = network.run("/usr/bin/python3", "-c", SLOW_READERS, deadline=60).split()
        assert int(refused) == 0 and int(held) < 3 << 20, (held, refused)


FLOOD = f"""
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        s.sendto(b"x" * 18, ("{ADDRESS}", 9))
    except OSError:
        pass
"""


@pytest.mark.parametrize("irq", ["msix", "poll"])
def test_a_flood_of_datagrams_leaves_the_application_its_share(network, irq):
    with Guest("netprobe", net=network.nic(), netns=network.name, cmdline=f"{STATIC} irq={irq} -- compute") as guest:
        guest.wait_for(r"^rounds \d+$", 20)
        quiet = int(guest.wait_for(r"^rounds (\d+)$", 10).group(1))
        network.spawn("/usr/bin/python3", "-c", FLOOD)
        shares = [int(guest.wait_for(r"^rounds (\d+)$", 10).group(1)) / quiet for _ in range(4)]
        assert max(shares[1:]) > 0.15, shares


@pytest.mark.parametrize("words", ["ip=perhaps", "ip=1.2.3.4", "ip=1.2.3.4/33", "ip=999.1.1.1/24"])
def test_a_malformed_address_is_named_and_dhcp_is_used(words):
    with Guest("aerostat", net="user", forwards=[80], cmdline=words) as guest:
        guest.wait_for(r"^ip=", 10)
        guest.wait_for(r"^eth0: address 10\.0\.2\.15/24", 20)


def test_the_appliance_runs_without_any_device():
    with Guest("aerostat") as guest:
        guest.wait_for(r"^no network$", 20)
        assert guest.powerdown() == 0


def test_pages_under_kvm(kvm):
    with Guest("aerostat", accel=kvm, machine="microvm", net="user", forwards=[80], deadline=90) as guest:
        guest.wait_for(r"^eth0: address", 60)
        guest.wait_for(r"^serving on", 60)
        assert json.loads(guest.get("/status.json", deadline=30))["clock"]["source"] == "kvm-clock"
