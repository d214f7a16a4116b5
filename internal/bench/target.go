package main

import (
	"cmp"
	"fmt"
)

// A target is what a row must reach, as issue and documentation promise it.
type target struct {
	text   string
	id     string // the case
	peer   string // whose row it is; empty is Sluice's at concurrency 32
	metric string
	than   string  // the peer whose value is the measure, if any
	factor float64 // of than's value, or the bound itself
	plus   float64 // added to the bound
	least  bool    // it is a lower bound
}

// The cases that most promises are about.
const (
	noop = "sqs-consume/noop/32"
	slow = "sqs-consume/5ms/32"
)

// targets are the promises.
func targets() []target {
	const pull = "pubsub-consume/32"
	return []target{
		{text: "SQS consume, no-op: as fast as the hand-pipelined loop", id: noop, metric: metricRate, than: piped, factor: 1, least: true},
		{text: "SQS consume, no-op: requests", id: noop, metric: metricRequests, factor: 0.205},
		{text: "SQS consume, no-op: allocations", id: noop, metric: metricAllocs, factor: 85},
		{text: "SQS consume, no-op: client CPU, µs", id: noop, metric: metricCPU, factor: 50},
		{text: "SQS consume, 5 ms: as fast as the hand-pipelined loop", id: slow, metric: metricRate, than: piped, factor: 1, least: true},
		{text: "SQS consume, 5 ms: requests", id: slow, metric: metricRequests, factor: 0.22},
		{text: "SQS send, coalesced single calls: as fast as raw batches", id: "sqs-send/32", metric: metricRate, than: "raw SDK, 10 a call", factor: 1, least: true},
		{text: "SQS idle: requests a minute", id: "sqs-idle", metric: metricIdle, factor: 3},
		{text: "SQS idle: requests in the minute after a burst", id: "sqs-idle", metric: metricBurst, factor: 8},
		{text: "In memory: ns", id: "memory/32", metric: metricTime, factor: 1200},
		{text: "In memory: allocations", id: "memory/32", metric: metricAllocs, factor: 4},
		{text: "Pub/Sub, concurrency 1,000: 0.6 of raw unary Pull, which holds 4,000", id: pull, peer: sluice + ", concurrency 1,000", metric: metricRate, than: "raw unary Pull", factor: 0.6, least: true},
		{text: "Pub/Sub, concurrency 1,000: faster than gcppubsub", id: pull, peer: sluice + ", concurrency 1,000", metric: metricRate, than: "gocloud gcppubsub", factor: 1, least: true},
		{text: "Pub/Sub, concurrency 1,000: allocations", id: pull, peer: sluice + ", concurrency 1,000", metric: metricAllocs, factor: 12},
		{text: "10,000 held leases: % of a core", id: "heartbeat", metric: metricCore, factor: 1},
		{text: "4,096 in flight: bytes beside the body", id: "in-flight/4096", metric: metricHeld, factor: 2048},
	}
}

// floors are what a target comes down to where Sluice keeps a rule that the
// peer does not, or pays for what a peer has not: the same comparison under the
// same rule, or with as much of the same resource. A bound in time or processor
// time, which was set on one machine, is held here against what peers took there.
func floors() []target {
	return []target{
		{text: "SQS consume, no-op: as fast as the pipelined loop that receives for free handlers only", id: noop, metric: metricRate, than: bounded, factor: 1, least: true},
		{text: "SQS consume, 5 ms: as fast as the pipelined loop that receives for free handlers only", id: slow, metric: metricRate, than: bounded, factor: 1, least: true},
		{text: "SQS consume, 5 ms: as fast as the pipelined loop with as many messages in hand", id: slow, peer: slotsAhead(32), metric: metricRate, than: piped, factor: 1, least: true},
		{text: "SQS send, coalesced single calls: 0.9 of raw batches with as many messages under way", id: "sqs-send/32", metric: metricRate, than: rawFew, factor: 0.9, least: true},
		{text: "SQS consume, no-op: client CPU, µs, as 50 is to the pipelined loop's 42", id: noop, metric: metricCPU, than: piped, factor: 50.0 / 42},
		{text: "In memory: ns, as 1,200 are to gocloud mempubsub's 3,907", id: "memory/32", metric: metricTime, than: "gocloud mempubsub", factor: 1200.0 / 3907},
		{text: "In memory: ns, as 1,200 are to watermill's 6,295 with its router", id: "memory/32", metric: metricTime, than: "watermill gochannel, router", factor: 1200.0 / 6295},
		{text: "4,096 in flight: 1 KiB more than a goroutine takes that does nothing", id: "in-flight/4096", metric: metricHeld, than: bare, factor: 1, plus: 1024},
	}
}

// A verdict is what became of a target.
type verdict struct {
	Text  string  `json:"text"`
	Bound float64 `json:"bound"`
	Least bool    `json:"at_least"`
	Got   float64 `json:"got"`
	Met   bool    `json:"met"`
}

// judge compares medians with the targets. A target whose case did not run is
// left out.
func judge(rows []row, ts []target) []verdict {
	find := func(id, peer, metric string) (float64, bool) {
		for _, r := range rows {
			if s, ok := r.Metrics[metric]; ok && r.Case == id && r.Peer == peer {
				return s.Median, true
			}
		}
		return 0, false
	}
	var vs []verdict
	for _, t := range ts {
		got, ok := find(t.id, cmp.Or(t.peer, sluice), t.metric)
		bound := t.factor
		if t.than != "" {
			v, found := find(t.id, t.than, t.metric)
			ok, bound = ok && found, bound*v
		}
		bound += t.plus
		if !ok {
			continue
		}
		met := got <= bound
		if t.least {
			met = got >= bound
		}
		vs = append(vs, verdict{Text: t.text, Bound: bound, Least: t.least, Got: got, Met: met})
	}
	return vs
}

func (v verdict) bound() string {
	if v.Least {
		return "≥ " + number(v.Bound)
	}
	return "≤ " + number(v.Bound)
}

func (v verdict) result() string {
	if v.Met {
		return "met"
	}
	return "**not met**"
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
