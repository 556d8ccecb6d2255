-- Wireshark and tshark dissector for the cluster's protocol (EtherType 0x88B5, docs/wire.md).
--
--     tshark -X lua_script:tools/amalgam.lua -r run.pcap
--
-- A frame that can't be what it says gets an expert info of group "malformed"; tests look for those.

local amalgam = Proto("amalgam", "Amalgam cluster protocol")

local HEAD, ETHERTYPE, VERSION, NOBODY = 40, 0x88b5, 2, 0xffff

local kinds = {
	[1] = "OPEN", [2] = "OPEN_ACK", [3] = "DATA", [4] = "ACK", [5] = "PROBE",
	[16] = "HELLO", [17] = "REFUSE", [18] = "OFFER", [19] = "ACCEPT", [20] = "START",
	[21] = "ABORT", [22] = "BEAT", [23] = "LOST", [24] = "STOP",
}
local states = { [0] = "seeking", [1] = "joining", [2] = "running", [3] = "stopped" }
local channels = { [0] = "urgent", [1] = "bulk" }
local reasons = {
	[1] = "version", [2] = "node count", [3] = "head", [4] = "full", [5] = "CPU feature",
	[6] = "no invariant TSC", [7] = "TSC frequency", [8] = "MAC", [9] = "CPU vendor",
}

local f = {}
local function field(name, kind, title, ...)
	f[name] = ProtoField[kind]("amalgam." .. name, title, ...)
end

field("version", "uint8", "Version")
field("kind", "uint8", "Kind", base.DEC, kinds)
field("length", "uint16", "Length")
field("cluster", "uint32", "Cluster hash", base.HEX)
field("src_id", "uint32", "Sender's session id", base.HEX)
field("dst_id", "uint32", "Receiver's session id", base.HEX)
field("src", "uint16", "Sender's number")
field("dst", "uint16", "Receiver's number")
field("tag", "bytes", "Tag")
field("have_src", "uint32", "Session it has: own id", base.HEX)
field("have_dst", "uint32", "Session it has: peer's id", base.HEX)
field("mtu", "uint16", "MTU")
field("next0", "uint32", "Urgent: next expected")
field("next1", "uint32", "Bulk: next expected")
field("sack0", "uint64", "Urgent: arrived beyond", base.HEX)
field("sack1", "uint64", "Bulk: arrived beyond", base.HEX)
field("stamp", "uint32", "Stamp (16 ns)")
field("echo", "uint32", "Echoed stamp (16 ns)")
field("held", "uint32", "Held for (16 ns)")
field("rx_max", "uint16", "Longest frame received")
field("flags", "uint8", "Flags", base.HEX)
field("seq", "uint32", "Segment")
field("msg_len", "uint16", "Message length")
field("offset", "uint16", "Offset in the message")
field("seg_len", "uint16", "Segment's length")
field("channel", "uint8", "Channel", base.DEC, channels)
field("data", "bytes", "Segment's bytes")
field("name", "stringz", "Cluster name")
field("life", "uint64", "Life", base.HEX)
field("ram", "uint64", "RAM (bytes)")
field("tsc_khz", "uint32", "TSC (kHz)")
field("nodes", "uint16", "Nodes expected")
field("cpus", "uint16", "CPUs")
field("state", "uint8", "State", base.DEC, states)
field("guest", "bool", "Has guest images", 8, nil, 1)
field("tsc", "bool", "Invariant TSC", 8, nil, 2)
field("head", "ether", "Named head")
field("features", "bytes", "CPU features")
field("needs", "bytes", "CPU features it needs")
field("reason", "uint32", "Reason", base.DEC, reasons)
field("text", "stringz", "Sentence")
field("epoch", "uint64", "Epoch", base.HEX)
field("count", "uint16", "Members")
field("head_node", "uint16", "Head's number")
field("mac", "ether", "MAC")
field("sent", "uint64", "Sent (ns)")
field("peer_sent", "uint64", "Peer's sent (ns)")
field("received", "uint64", "Received (ns)")
field("alive", "uint32", "Hears nodes", base.HEX)
field("ask", "uint32", "Answer at once")
field("node", "uint16", "Lost node")

local list = {}
for _, v in pairs(f) do
	list[#list + 1] = v
end
amalgam.fields = list

local bad = ProtoExpert.new("amalgam.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
local old = ProtoExpert.new("amalgam.other_version", "Another protocol version", expert.group.PROTOCOL,
	expert.severity.NOTE)
amalgam.experts = { bad, old }

local function complain(tree, pinfo, text)
	tree:add_proto_expert_info(bad, text)
	pinfo.cols.info:append(" [malformed: " .. text .. "]")
end

local function put(tree, buf, at, size, ...)
	for _, name in ipairs({ ... }) do
		tree:add_le(f[name], buf(at, size))
		at = at + size
	end
	return at
end

local function open(buf, tree)
	put(tree, buf, 0, 4, "have_src", "have_dst")
	put(tree, buf, 8, 2, "mtu")
end

local function session(buf, tree)
	put(tree, buf, 0, 4, "next0", "next1")
	put(tree, buf, 8, 8, "sack0", "sack1")
	put(tree, buf, 24, 4, "stamp", "echo", "held")
	put(tree, buf, 36, 2, "rx_max")
	put(tree, buf, 38, 1, "flags")
end

local function segment(buf, tree, pinfo)
	local seq, len, offset, size, channel = buf(0, 4):le_uint(), buf(4, 2):le_uint(), buf(6, 2):le_uint(),
		buf(8, 2):le_uint(), buf(10, 1):uint()

	put(tree, buf, 0, 4, "seq")
	put(tree, buf, 4, 2, "msg_len", "offset", "seg_len")
	put(tree, buf, 10, 1, "channel")
	pinfo.cols.info:append(string.format(" %s #%d, %d..%d of %d", channels[channel] or "?", seq, offset,
		offset + size, len))
	if size < 1 or size > buf:len() - 12 or offset + size > len or len > 4224 or channel > 1 then
		complain(tree, pinfo, "segment lies outside its message or its frame")
		return buf:len()
	end
	tree:add(f.data, buf(12, size))
	return 12 + size
end

local function data(buf, tree, pinfo)
	local at = 40

	session(buf, tree)
	while at < buf:len() do
		if buf:len() - at <= 12 then
			complain(tree, pinfo, "rest of a segment's head")
			return
		end
		at = at + segment(buf(at), tree, pinfo)
	end
end

local function hello(buf, tree, pinfo)
	tree:add(f.name, buf(0, 32))
	put(tree, buf, 32, 8, "life", "ram")
	put(tree, buf, 48, 4, "tsc_khz")
	put(tree, buf, 52, 2, "nodes", "cpus")
	put(tree, buf, 56, 1, "state")
	tree:add(f.guest, buf(57, 1))
	tree:add(f.tsc, buf(57, 1))
	tree:add(f.head, buf(58, 6))
	tree:add(f.features, buf(64, 32))
	tree:add(f.needs, buf(96, 32))
	pinfo.cols.info:append(" '" .. buf(0, 32):stringz() .. "' " .. (states[buf(56, 1):uint()] or "?"))
end

local function refuse(buf, tree, pinfo)
	put(tree, buf, 0, 8, "life")
	put(tree, buf, 8, 4, "reason")
	tree:add(f.text, buf(16, 160))
	pinfo.cols.info:append(": it " .. buf(16, 160):stringz())
end

local function offer(buf, tree, pinfo)
	local count = buf(12, 2):le_uint()

	put(tree, buf, 0, 8, "epoch")
	put(tree, buf, 8, 4, "tsc_khz")
	put(tree, buf, 12, 2, "count", "head_node")
	tree:add(f.features, buf(16, 32))
	if buf:len() ~= 48 + 24 * count then
		complain(tree, pinfo, "members don't fill the frame")
		return
	end
	for i = 0, count - 1 do
		local at = 48 + 24 * i
		local member = tree:add(buf(at, 24), "Node " .. i)

		member:add(f.mac, buf(at, 6))
		put(member, buf, at + 6, 2, "cpus")
		put(member, buf, at + 8, 8, "life", "ram")
	end
end

local function vote(buf, tree)
	put(tree, buf, 0, 8, "epoch", "life")
end

local function beat(buf, tree)
	put(tree, buf, 0, 8, "epoch", "life", "sent", "peer_sent", "received")
	put(tree, buf, 40, 4, "alive", "ask")
end

local function lost(buf, tree, pinfo)
	put(tree, buf, 0, 8, "epoch")
	put(tree, buf, 8, 2, "node")
	tree:add(f.text, buf(16, 160))
	pinfo.cols.info:append(": " .. buf(16, 160):stringz())
end

local function stop(buf, tree, pinfo)
	put(tree, buf, 0, 8, "epoch", "life")
	tree:add(f.text, buf(16, 240))
	pinfo.cols.info:append(": " .. buf(16, 240):stringz())
end

-- Smallest and largest body, and who reads it.
local bodies = {
	OPEN = { 12, 12, open }, OPEN_ACK = { 12, 12, open }, DATA = { 53, 9000, data },
	ACK = { 40, 40, session }, PROBE = { 40, 9000, session }, HELLO = { 128, 128, hello },
	REFUSE = { 176, 176, refuse }, OFFER = { 48, 48 + 32 * 24, offer }, ACCEPT = { 16, 16, vote },
	START = { 16, 16, vote }, ABORT = { 16, 16, vote }, BEAT = { 48, 48, beat }, LOST = { 176, 176, lost },
	STOP = { 256, 256, stop },
}

local function number(n)
	return n == NOBODY and "-" or tostring(n)
end

function amalgam.dissector(buf, pinfo, root)
	pinfo.cols.protocol = "AMALGAM"
	local tree = root:add(amalgam, buf())

	if buf:len() < HEAD then
		pinfo.cols.info = "cut"
		complain(tree, pinfo, "shorter than the head")
		return
	end
	local version, kind, length = buf(0, 1):uint(), buf(1, 1):uint(), buf(2, 2):le_uint()
	local name = kinds[kind]

	put(tree, buf, 0, 1, "version", "kind")
	put(tree, buf, 2, 2, "length")
	put(tree, buf, 4, 4, "cluster", "src_id", "dst_id")
	put(tree, buf, 16, 2, "src", "dst")
	tree:add(f.tag, buf(24, 16))
	pinfo.cols.info = string.format("%s %s > %s", name or "kind " .. kind, number(buf(16, 2):le_uint()),
		number(buf(18, 2):le_uint()))
	if length < HEAD or length > buf:len() then
		complain(tree, pinfo, "length is beyond the frame")
	elseif version ~= VERSION and name ~= "HELLO" and name ~= "REFUSE" then
		tree:add_proto_expert_info(old)
	elseif not name then
		complain(tree, pinfo, "unknown kind")
	elseif length - HEAD < bodies[name][1] or length - HEAD > bodies[name][2] then
		complain(tree, pinfo, "body has a wrong length")
	elseif buf(20, 4):le_uint() ~= 0 then
		complain(tree, pinfo, "reserved bytes are not zero")
	else
		bodies[name][3](buf(HEAD, length - HEAD), tree, pinfo)
	end
end

DissectorTable.get("ethertype"):add(ETHERTYPE, amalgam)
