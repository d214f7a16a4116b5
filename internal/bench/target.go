package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A target is a bound on the ratio of Sluice's measurement to another one of the same
// run. No bound is a time: another machine would have another.
type target struct {
	text   string
	id     string // the case, or with grows the beginning of the cases' names
	peer   string // whose row is judged; empty means Sluice's
	metric string
	ratio  float64 // the bound: the least ratio if more is better, else the greatest

	// The other measurement is the best of these peers'; empty means all others. Our
	// own further rows are never among them.
	peers []string
	// with is the measurement of the same row instead, if it is not nil.
	with func(metrics map[string]stat) (name string, value float64, ok bool)
	// grows compares the worst of the cases with that of the smallest size, both of one
	// peer, by the least cost of the runs: what else a machine does only adds to it.
	grows bool

	// floor says what the measurement can't get below or above. near is a peer that
	// is the floor; its measurement is added.
	floor, near string
}

// The floors.
const (
	floorSDK     = "the SDK's work for a request: HTTP, signing, JSON"
	floorGo      = "allocating and collecting the backlog"
	floorCommit  = "a commit that waits for the disk, shared by the messages of a batch"
	floorGrowth  = "the smallest size"
	floorWritten = "SQLite's work for a message"
)

// maxHeld is the greatest memory of a message in flight beside its body, in bytes.
const maxHeld = 2600

// targets are the promises, in the order of the table.
func targets() []target {
	var ts []target
	for _, c := range []struct{ id, text, floor string }{
		{"noop/32", "no-op, concurrency 32", floorSDK},
		{"noop/1000", "no-op, concurrency 1,000", floorSDK},
		{"5ms/32", "5 ms, concurrency 32", "32 handlers of 5 ms: 6,400 msgs/s"},
		{"5ms/1000", "5 ms, concurrency 1,000", floorSDK},
	} {
		id := "sqs-consume/" + c.id
		ts = append(ts,
			target{text: "SQS consume, " + c.text, id: id, metric: metricRate, ratio: 1, floor: c.floor},
			target{text: "SQS consume, " + c.text + ": requests a message", id: id, metric: metricRequests, ratio: 1.01, floor: "ten messages a request: 0.2"},
			inHand("SQS consume, "+c.text, id, observed))
	}
	ts = append(ts,
		target{text: "SQS consume, no-op, concurrency 32: client CPU", id: "sqs-consume/noop/32", metric: metricCPU, peers: []string{piped}, ratio: 1.05, floor: floorSDK},
		target{text: "SQS consume, no-op, concurrency 32: allocations", id: "sqs-consume/noop/32", metric: metricAllocs, ratio: 1.05, floor: floorSDK},
		target{text: "SQS send, 32 callers of one message", id: sqsSend, metric: metricRate, peers: []string{rawFewMarked, rawSingle, gocloudSQS}, ratio: 0.95, floor: "batches without an identity", near: rawFew},
		target{text: "SQS send, 32 callers of ten messages", id: sqsSend, peer: sluiceTen, metric: metricRate, peers: []string{rawMarked}, ratio: 0.95, floor: "batches without an identity", near: rawMany},
		target{text: "SQS idle: requests", id: "sqs-idle", metric: metricIdle, ratio: 1, floor: "a long poll of 20 s"},
		target{text: "SQS idle after a burst: requests", id: "sqs-idle", metric: metricBurst, ratio: 1, floor: "a long poll of 20 s"},
	)
	for _, c := range []string{"1", "32", "1000", "4000"} {
		id := "pubsub-consume/" + c
		text := "Pub/Sub consume, no-op, concurrency " + c
		ts = append(ts,
			target{text: text, id: id, metric: metricRate, peers: []string{gcpHigh, gcpCloud}, ratio: 1, near: rawPull},
			inHand(text, id, observed))
	}
	return append(ts,
		target{text: "Pub/Sub consume, no-op, concurrency 1000, beside the bare API", id: "pubsub-consume/1000", metric: metricRate, peers: []string{rawPull}, ratio: 0.75,
			floor: "the loop has no leases, no verdicts and no order to keep"},
		target{text: "Pub/Sub publish, 32 callers of one message", id: "pubsub-publish/32", metric: metricRate, ratio: 0.95, floor: "gRPC and protobuf"},
		target{text: "Queue in memory, no-op, concurrency 32", id: "memory/32", metric: metricRate, ratio: 1, floor: floorGo},
		target{text: "Queue in memory: allocations", id: "memory/32", metric: metricAllocs, ratio: 1, floor: floorGo},
		target{text: "The runtime alone, concurrency 32", id: "runtime/32", metric: metricRate, ratio: 1, floor: "starting a handler, taking its verdict, batching it"},
		target{text: "Memory of a message in flight, beside its body", id: "in-flight/4096", metric: metricHeld, ratio: 1, near: bare,
			with: func(map[string]stat) (string, float64, bool) {
				return "the bound, the same on every machine", maxHeld, true
			}},
		target{text: "Queue on disk, synced: produce, 1 caller", id: "disk-synced/produce/1", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: "one commit that waits for the disk"},
		target{text: "Queue on disk, synced: produce, 16 callers", id: "disk-synced/produce/16", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorCommit},
		target{text: "Queue on disk, synced: consume, 1 worker", id: "disk-synced/consume/1", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorCommit},
		target{text: "Queue on disk, synced: consume, 16 workers", id: "disk-synced/consume/16", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorCommit},
		target{text: "Queue on disk, written: produce, 1 caller", id: "disk-written/produce/1", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, written: produce, 16 callers", id: "disk-written/produce/16", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, written: consume, 1 worker", id: "disk-written/consume/1", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, written: consume, 16 workers", id: "disk-written/consume/16", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, 1,000 messages behind", id: "disk-backlog/1000", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, 10,000 messages behind", id: "disk-backlog/10000", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, 100,000 messages behind", id: "disk-backlog/100000", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Queue on disk, 1,000,000 messages behind", id: "disk-backlog/1000000", peer: sluiceOnDisk, metric: metricRate, ratio: 1, floor: floorWritten},
		target{text: "Routing a message by its kind: time", id: routeCase, peer: sluiceRouter, metric: metricTime, ratio: 0.05, floor: "a look-up in a map"},
		target{text: "Routing a message by its kind: allocations", id: routeCase, peer: sluiceRouter, metric: metricAllocs, ratio: 0.01, floor: "a look-up in a map"},
		target{text: "Enqueue in a transaction", id: enqueueCase, peer: outboxPostgres, metric: metricRate, peers: []string{riverOnPostgres}, ratio: 1, near: plainPostgres},
		target{text: "Enqueue in a transaction: allocations", id: enqueueCase, peer: outboxPostgres, metric: metricAllocs, peers: []string{riverOnPostgres}, ratio: 1, floor: "the transaction"},
		target{text: "Relay committed messages", id: relayCase, peer: outboxPostgres, metric: metricRate, ratio: 1, floor: "two statements for a hundred rows"},
		target{text: "Growth: time a message, concurrency 1 to 4,096", id: byNoop, metric: metricTime, ratio: 1.2, grows: true, floor: floorGrowth},
		target{text: "Growth: CPU a message, 1,000 to 1,000,000 behind, in memory", id: byBacklog, peer: sluice + ", mem", metric: metricCPU, ratio: 1.2, grows: true, floor: floorGrowth},
		target{text: "Growth: CPU a message, 1,000 to 1,000,000 behind, on disk", id: byBacklog, peer: sluice + ", sqlite", metric: metricCPU, ratio: 1.2, grows: true, floor: floorGrowth},
	)
}

// inHand is the target for how long a message waits in hand: its 99th percentile is
// within the larger of two round trips and one handling time, both medians.
func inHand(text, id, peer string) target {
	return target{text: text + ": p99 of waiting in hand", id: id, peer: peer, metric: metricWait99, ratio: 1, with: func(m map[string]stat) (string, float64, bool) {
		trip, ok := m[metricTrip]
		handling := m[metricHandling].Median
		if handling > 2*trip.Median {
			return "a handling time", handling, ok
		}
		return "two round trips", 2 * trip.Median, ok
	}, floor: "what arrives together waits for each other"}
}

// A verdict is what became of a target.
type verdict struct {
	Text   string  `json:"text"`
	Metric string  `json:"metric"`
	Got    float64 `json:"got"`
	Peer   string  `json:"peer"` // whose Best is
	Best   float64 `json:"best"`
	Ratio  float64 `json:"ratio"`
	Bound  float64 `json:"bound"`
	Least  bool    `json:"at_least"`
	Met    bool    `json:"met"`
	Floor  string  `json:"floor"`
}

// judge compares medians with the targets. A target whose case did not run, or whose
// peers did not, is left out.
func judge(rows []row, ts []target) []verdict {
	var vs []verdict
	for _, t := range ts {
		v := verdict{Text: t.text, Metric: t.metric, Bound: t.ratio, Least: more(t.metric), Floor: t.floor}
		var ok bool
		switch {
		case t.grows:
			ok = v.compareGrowth(rows, &t)
		case t.with != nil:
			ok = v.compareWithin(rows, &t)
		default:
			ok = v.comparePeers(rows, &t)
		}
		if !ok || v.Best <= 0 {
			continue
		}
		// As the table shows it: less is within the spread of the runs.
		v.Ratio = math.Round(100*v.Got/v.Best) / 100
		v.Met = v.Ratio <= v.Bound
		if v.Least {
			v.Met = v.Ratio >= v.Bound
		}
		if near, ok := find(rows, t.id, t.near); ok {
			v.Floor = fmt.Sprintf("%s: %s", t.near, quantity(near.Metrics[t.metric].Median, t.metric))
		}
		vs = append(vs, v)
	}
	return vs
}

// more reports whether more of a metric is better.
func more(metric string) bool { return metric == metricRate }

func find(rows []row, id, peer string) (row, bool) {
	i := slices.IndexFunc(rows, func(r row) bool { return r.Case == id && r.Peer == peer })
	if i < 0 {
		return row{}, false
	}
	return rows[i], true
}

// comparePeers compares with the best peer of the case.
func (v *verdict) comparePeers(rows []row, t *target) bool {
	ours, ok := find(rows, t.id, cmp.Or(t.peer, sluice))
	got, measured := ours.Metrics[t.metric]
	if !ok || !measured {
		return false
	}
	v.Got = got.Median
	for _, r := range rows {
		if r.Case != t.id || strings.HasPrefix(r.Peer, sluice) || len(t.peers) > 0 && !slices.Contains(t.peers, r.Peer) {
			continue
		}
		s, ok := r.Metrics[t.metric]
		if ok && (v.Peer == "" || v.Least == (s.Median > v.Best)) {
			v.Peer, v.Best = r.Peer, s.Median
		}
	}
	return v.Peer != ""
}

// compareWithin compares with another measurement of the same row.
func (v *verdict) compareWithin(rows []row, t *target) bool {
	ours, ok := find(rows, t.id, cmp.Or(t.peer, sluice))
	got, measured := ours.Metrics[t.metric]
	if !ok || !measured {
		return false
	}
	v.Got = got.Median
	v.Peer, v.Best, ok = t.with(ours.Metrics)
	return ok
}

// compareGrowth compares the costliest case with that of the smallest size.
func (v *verdict) compareGrowth(rows []row, t *target) bool {
	cases, smallest := 0, 0.0
	for _, r := range rows {
		n, err := strconv.ParseFloat(strings.TrimPrefix(r.Case, t.id), 64)
		s, ok := r.Metrics[t.metric]
		if err != nil || !ok || r.Peer != cmp.Or(t.peer, sluice) || !strings.HasPrefix(r.Case, t.id) {
			continue
		}
		cases++
		v.Got = max(v.Got, s.Min)
		if cases == 1 || n < smallest {
			smallest, v.Peer, v.Best = n, "itself at "+number(n), s.Min
		}
	}
	return cases > 1
}

// bound returns the bound as people read it.
func (v *verdict) bound() string {
	if v.Least {
		return "≥ " + number(v.Bound)
	}
	return "≤ " + number(v.Bound)
}

// headline reports whether the verdict is in the first table: how fast, and with how
// much memory.
func (v *verdict) headline() bool { return v.Metric == metricRate || v.Metric == metricHeld }

func (v *verdict) result() string {
	if v.Met {
		return "met"
	}
	return "**not met**"
}

// quantity returns a measurement with its unit.
func quantity(v float64, metric string) string {
	switch metric {
	case metricRate:
		return number(v) + " msgs/s"
	case metricWait99, metricCPU:
		return number(v) + " µs"
	case metricTime:
		return number(v) + " ns"
	case metricHeld:
		return number(v) + " B"
	default:
		return number(v)
	}
}

// number writes a number with as many digits as mean something.
func number(v float64) string {
	switch {
	case v >= 1000:
		n := int64(v + 0.5)
		s := fmt.Sprint(n % 1000)
		for n /= 1000; n > 0; n /= 1000 {
			for len(s)%4 != 3 {
				s = "0" + s
			}
			s = fmt.Sprint(n%1000) + "," + s
		}
		return s
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3g", v)
	}
}
