package drivertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/drivers/drivertest/internal/conformance"
	"github.com/sluice-go/sluice/handler"
)

func referenceHarness(m mutant) *Harness {
	return &Harness{
		Server: "reference",
		NewQueue: func(_ context.Context, o QueueOptions) (*Queue, error) {
			return newReference(o, m).queue(), nil
		},
		Missing: func(context.Context) (*Queue, error) {
			r := newReference(QueueOptions{}, m)
			r.removed = true
			return r.queue(), nil
		},
		Unmade: unmade(m),
	}
}

// The reference keeps every rule: a mutant that is caught is caught for what
// is wrong with it.
func TestReferenceKeepsEveryRule(t *testing.T) { Run(t, referenceHarness(mutant{})) }

type mutation struct {
	name   string
	mutant mutant
	// by are rules that must catch it. Others may as well.
	by []string
}

func mutations() []mutation {
	return []mutation{
		{"acks are lost", mutant{acksAreLost: true}, []string{"SETL-1", "SETL-2"}},
		{"a drop is a retry", mutant{onSettling: func(s *drivers.Settlement) {
			if s.Action == handler.ActionDrop {
				s.Action = handler.ActionRetry
			}
		}}, []string{"SETL-2"}},
		{"the zero action is an ack", mutant{onSettling: func(s *drivers.Settlement) {
			if s.Action == handler.ActionRetry && !s.Delayed {
				s.Action = handler.ActionAck
			}
		}}, []string{"SETL-4", "SETL-5"}},
		{"the receipt is the message's ID", mutant{onDelivered: func(x *stored, d *drivers.Delivery) {
			x.receipt = x.m.ID
			d.Receipt = x.m.ID
		}}, []string{"DUP-1", "DUP-3", "DUP-4"}},
		{"stale receipts work", mutant{staleReceiptsWork: true}, []string{"DUP-3", "DUP-4"}},
		{"a bad entry fails the rest of its batch", mutant{badEntryFailsTheRest: true}, []string{"BATCH-2", "BATCH-3", "BATCH-6", "DUP-5"}},
		{"retry delays are ignored", mutant{onSettling: func(s *drivers.Settlement) { s.Delay = 0 }}, []string{"DELAY-1", "DELAY-2", "DELAY-3", "BATCH-5"}},
		{"retry delays are cut to seconds", mutant{onSettling: func(s *drivers.Settlement) { s.Delay = s.Delay.Truncate(time.Second) }}, []string{"DELAY-3"}},
		{"a retry waits for the lease", mutant{onSettling: func(s *drivers.Settlement) { s.Delayed = false }}, []string{"SETL-3"}},
		{"send delays are ignored", mutant{onStored: func(m *handler.Message, x *stored) { x.visibleAt = x.visibleAt.Add(-m.Delay) }}, []string{"DELAY-4", "DELAY-5"}},
		{"receives do not wait", mutant{neverWaits: true}, []string{"RECV-3", "RECV-4", "CONC-5"}},
		{"receives are deaf to their deadline", mutant{deafToCancel: true}, []string{"RECV-8"}},
		{"a lost lease is reported as another error", mutant{lostAs: drivers.Transient}, []string{"SETL-6", "LEASE-8", "DUP-3", "BATCH-3", "LEASE-7"}},
		{"extensions by any receipt succeed", mutant{extendsAnything: true}, []string{"LEASE-7", "LEASE-8", "DUP-4"}},
		{"the receipt of a redelivery is no good", mutant{onDelivered: func(x *stored, d *drivers.Delivery) {
			if x.m.Attempt > 1 {
				d.Receipt += "'"
			}
		}}, []string{"SETL-9"}},
		{"the deadline is the wall clock's", mutant{onDelivered: func(_ *stored, d *drivers.Delivery) { d.Deadline = d.Deadline.Round(0) }}, []string{"RECV-16"}},
		{"long delays wrap", mutant{
			onSettled: func(r *reference, x *stored, s drivers.Settlement) {
				if s.Delayed && s.Delay > math.MaxInt64/4 {
					x.visibleAt = time.Unix(0, r.now.UnixNano()+int64(s.Delay))
				}
			},
		}, []string{"DELAY-8"}},
		{"long extensions wrap", mutant{onExtended: func(x *stored) {
			if x.visibleAt.Year() > 2100 {
				x.visibleAt = time.Time{}
			}
		}}, []string{"LEASE-11"}},
		{"a lease that ended costs no attempt", mutant{expiryIsFree: true}, []string{"ATT-3", "DLQ-4"}},
		{"a release costs an attempt", mutant{releasesCount: true}, []string{"ATT-5", "ATT-6"}},
		{"a release costs none, unannounced", mutant{onCapabilities: func(c *drivers.Capabilities) { c.FreeRelease = false }}, []string{"ATT-5"}},
		{"a release forgets all attempts", mutant{onSettled: func(_ *reference, x *stored, s drivers.Settlement) {
			if s.Released {
				x.m.Attempt = 0
			}
		}}, []string{"ATT-6"}},
		{"a release ignores its delay", mutant{onSettled: func(_ *reference, x *stored, s drivers.Settlement) {
			if s.Released {
				x.visibleAt = time.Time{}
			}
		}}, []string{"ATT-7"}},
		{"a message whose lease ended goes to the end", mutant{expiredGoLast: true}, []string{"GRP-9"}},
		{"every message is delivered twice", mutant{onDelivered: func(x *stored, _ *drivers.Delivery) {
			if x.m.Attempt == 1 {
				x.visibleAt = time.Time{}
			}
		}}, []string{"RECV-12", "CONC-1", "CONC-2"}},
		{"receives are deaf to their context", mutant{deafToCancel: true}, []string{"RECV-6"}},
		{"receives return more than max", mutant{ignoresMax: true}, []string{"RECV-5"}},
		{"the lease is ignored", mutant{onDelivered: func(x *stored, _ *drivers.Delivery) { x.visibleAt = time.Time{} }}, []string{"RECV-12", "LEASE-1"}},
		{"extensions are lost", mutant{extensionsAreLost: true}, []string{"LEASE-2", "LEASE-3"}},
		{"extensions add up", mutant{extensionsAdd: true}, []string{"LEASE-3"}},
		{"the attempt is not counted", mutant{onDelivered: func(x *stored, d *drivers.Delivery) { x.m.Attempt, d.Message.Attempt = 1, 1 }}, []string{"ATT-1", "ATT-3", "DLQ-1"}},
		{"one attempt too many", mutant{extraAttempts: 1}, []string{"DLQ-2"}},
		{"one attempt too few", mutant{extraAttempts: -1}, []string{"DLQ-2", "DLQ-5"}},
		{"groups do not block", mutant{groupsDoNotBlock: true}, []string{"GRP-3", "GRP-6"}},
		{"the group is lost", mutant{onStored: func(_ *handler.Message, x *stored) { x.m.Group = "" }}, []string{"GRP-2"}},
		{"the dedupe ID is lost", mutant{onStored: func(_ *handler.Message, x *stored) { x.m.DedupeID = "" }}, []string{"SEND-6"}},
		{"a group is overtaken in a batch", mutant{sendOvertakes: true}, []string{"SEND-8"}},
		{"attribute names are lower-cased", mutant{onStored: func(_ *handler.Message, x *stored) { x.m.Attributes = mapKeys(x.m.Attributes, strings.ToLower) }}, []string{"ATTR-7", "ATTR-1"}},
		{"attribute values are trimmed", mutant{onStored: func(_ *handler.Message, x *stored) {
			for k, v := range x.m.Attributes {
				x.m.Attributes[k] = strings.TrimSpace(v)
			}
		}}, []string{"ATTR-2"}},
		{"empty values are dropped", mutant{onStored: func(_ *handler.Message, x *stored) {
			for k, v := range x.m.Attributes {
				if v == "" {
					delete(x.m.Attributes, k)
				}
			}
		}}, []string{"ATTR-5"}},
		{"a driver's attribute shows", mutant{onStored: func(_ *handler.Message, x *stored) { x.m.SetAttribute("encoding", "raw") }}, []string{"ATTR-6", "ATTR-3"}},
		{"invalid UTF-8 is replaced", mutant{onStored: func(_ *handler.Message, x *stored) {
			x.m.Body = []byte(strings.ToValidUTF8(string(x.m.Body), "\ufffd"))
		}}, []string{"BODY-2", "BODY-5"}},
		{"a body ends at NUL", mutant{onStored: func(_ *handler.Message, x *stored) {
			body, _, _ := strings.Cut(string(x.m.Body), "\x00")
			x.m.Body = []byte(body)
		}}, []string{"BODY-2", "BODY-4", "SEND-10"}},
		{"the sender's message is kept", mutant{onStored: func(m *handler.Message, x *stored) { x.m.Body, x.m.Attributes = m.Body, m.Attributes }}, []string{"BODY-9"}},
		{"the receiver gets the queue's copy", mutant{onDelivered: func(x *stored, d *drivers.Delivery) { d.Message.Body, d.Message.Attributes = x.m.Body, x.m.Attributes }}, []string{"RECV-14"}},
		{"a letter loses its attributes", mutant{onBuried: func(x *stored) { x.m.Attributes = nil }}, []string{"DLQ-3", "REJ-2"}},
		{"a letter does not tell why", mutant{onSettling: func(s *drivers.Settlement) { s.Failure = nil }}, []string{"REJ-6", "REJ-7", "REJ-8", "REJ-9", "INSP-6"}},
		{"a rejection with nowhere to go drops", mutant{dropsWithoutDeadLetterQueue: true}, []string{"REJ-4"}},
		{"the ID is not told", mutant{onStored: func(m *handler.Message, _ *stored) { m.ID = "" }}, []string{"SEND-1", "SEND-2"}},
		{"Send changes the message", mutant{onStored: func(m *handler.Message, _ *stored) { m.SetAttribute("sent", "yes") }}, []string{"SEND-4"}},
		{"it works after Close", mutant{worksAfterClose: true}, []string{"CLOSE-1", "CLOSE-2"}},
		{"a second Close fails", mutant{closeTwiceFails: true}, []string{"CLOSE-3"}},
		{"depth tells no state", mutant{depthCountsAllVisible: true}, []string{"INSP-1"}},
		{"peek takes", mutant{peekTakes: true}, []string{"INSP-5"}},
		{"no ID", mutant{onDelivered: func(_ *stored, d *drivers.Delivery) { d.Message.ID = "" }}, []string{"RECV-1"}},
		{"one receipt for all", mutant{onDelivered: func(_ *stored, d *drivers.Delivery) { d.Receipt = "r" }}, []string{"RECV-9"}},
		{"no enqueue time", mutant{onDelivered: func(_ *stored, d *drivers.Delivery) { d.Message.EnqueuedAt = time.Time{} }}, []string{"RECV-11"}},
		{"the enqueue time is the receive's", mutant{onDelivered: func(x *stored, d *drivers.Delivery) {
			d.Message.EnqueuedAt = d.Message.EnqueuedAt.Add(time.Duration(x.m.Attempt) * time.Second)
		}}, []string{"ATT-4"}},
		{"the delay is delivered", mutant{onStored: func(m *handler.Message, x *stored) { x.m.Delay = m.Delay }}, []string{"RECV-15"}},
		{"an empty receive is an error", mutant{onEmpty: &drivers.Error{Code: drivers.NotFound}}, []string{"RECV-2"}},
		{"contexts are ignored", mutant{ignoresContext: true}, []string{"RECV-7", "SETL-8", "SEND-5"}},
		{"a batch of nothing is an error", mutant{ofNothing: []error{drivers.ErrInvalid}}, []string{"SETL-10", "SEND-7"}},
		{"the size is not checked", mutant{noSizeLimit: true}, []string{"BODY-8", "SEND-3"}},
		{"the capabilities have no name", mutant{onCapabilities: func(c *drivers.Capabilities) { c.Queue = "" }}, []string{"CAP-1"}},
		{"the capabilities have no lease", mutant{onCapabilities: func(c *drivers.Capabilities) { c.Lease = 0 }}, []string{"CAP-2"}},
		{"the capabilities have no maximum of attempts", mutant{onCapabilities: func(c *drivers.Capabilities) { c.MaxAttempts = 0 }}, []string{"CAP-3"}},
		{"the capabilities have no order", mutant{onCapabilities: func(c *drivers.Capabilities) { c.Ordered = false }}, []string{"CAP-4"}},
		{"attempts are made up", mutant{onCapabilities: func(c *drivers.Capabilities) { c.AttemptKnown = false }}, []string{"ATT-2"}},
		{"what cannot be delayed is sent at once", mutant{dropsDelays: true, onCapabilities: func(c *drivers.Capabilities) { c.MaxSendDelay = 0 }}, []string{"DELAY-6"}},
		{"a retry's delay is taken that the capabilities deny", mutant{onCapabilities: func(c *drivers.Capabilities) { c.MaxDelay = -1 }}, []string{"DELAY-7"}},
		{"a missing queue is transient", mutant{onMissing: func(e *drivers.Error) error { e.Code = drivers.Transient; return e }}, []string{"ERR-1", "ERR-2", "ERR-3"}},
		{"a missing queue has no name", mutant{onMissing: func(e *drivers.Error) error { e.Queue = ""; return e }}, []string{"ERR-1", "ERR-2"}},
		{"depth counts what is gone", mutant{onDepth: func(d *drivers.Depth) { d.Visible++ }}, []string{"INSP-2"}},
		{"the oldest age stands still", mutant{onDepth: func(d *drivers.Depth) { d.OldestAge = 0 }}, []string{"INSP-4"}},
		{"letters that are not known are none", mutant{onDepth: func(d *drivers.Depth) { d.DeadLetters = max(d.DeadLetters, 0) }}, []string{"INSP-3"}},
		{"a redrive leaves one", mutant{onRedriven: func(r *reference, t *deadletter.Task) {
			if last := len(r.messages) - 1; last >= 0 {
				r.letters = append(r.letters, r.messages[last])
				r.messages = r.messages[:last]
			}
		}}, []string{"REDR-1"}},
		{"a redrive's task is never done", mutant{onRedriven: func(_ *reference, t *deadletter.Task) { t.Status = deadletter.Running }}, []string{"REDR-1"}},
		{"a redriven letter keeps its attempts", mutant{redrivenAttempt: 1}, []string{"REDR-2"}},
		{"a letter that is sent back goes elsewhere", mutant{redrivesToNowhere: true}, []string{"REDR-3"}},
		{"dead letters open where there are none", mutant{opensMissingLetters: true}, []string{"REDR-4"}},
		{"the lease is half as long", mutant{onDelivered: func(x *stored, d *drivers.Delivery) {
			x.visibleAt = x.visibleAt.Add(-time.Until(d.Deadline) / 2)
		}}, []string{"LEASE-1"}},
		{"an extension ends the receipt", mutant{onExtended: func(x *stored) { x.receipt += "'" }}, []string{"LEASE-4", "LEASE-5", "LEASE-10", "CONC-3"}},
		{"an extension is a minute too short", mutant{onExtended: func(x *stored) { x.visibleAt = x.visibleAt.Add(-59 * time.Second) }}, []string{"LEASE-2", "LEASE-6"}},
		{"half a batch is settled", mutant{settlesAtMost: 5}, []string{"BATCH-4", "REJ-5"}},
		{"half a batch is extended", mutant{extendsAtMost: 5}, []string{"LEASE-9"}},
		{"an ack removes the oldest message", mutant{onSettled: func(r *reference, x *stored, s drivers.Settlement) {
			if s.Action == handler.ActionAck && len(r.messages) > 0 && r.messages[0] != x {
				r.messages[0] = x
			}
		}}, []string{"SETL-7"}},
		{"a retry forgets the attempts", mutant{onSettled: func(_ *reference, x *stored, s drivers.Settlement) {
			if s.Action == handler.ActionRetry {
				x.m.Attempt = 0
			}
		}}, []string{"ATT-1", "DLQ-1"}},
		{"a retry makes a new message", mutant{onSettled: func(r *reference, x *stored, s drivers.Settlement) {
			if s.Action == handler.ActionRetry && s.Delayed {
				r.ids++
				x.m.ID = fmt.Sprint("m", r.ids)
			}
		}}, []string{"SETL-3", "ATT-4"}},
		{"a retry goes to the end of the queue", mutant{onSettled: func(r *reference, x *stored, s drivers.Settlement) {
			if i := slices.Index(r.messages, x); i >= 0 && s.Action == handler.ActionRetry && s.Delayed {
				r.messages = append(slices.Delete(r.messages, i, i+1), x)
			}
		}}, []string{"GRP-5", "GRP-6"}},
		{"a retry goes to the front of the queue", mutant{onSettled: func(r *reference, x *stored, s drivers.Settlement) {
			if i := slices.Index(r.messages, x); i >= 0 && s.Action == handler.ActionRetry && s.Delayed {
				r.messages = slices.Insert(slices.Delete(r.messages, i, i+1), 0, x)
			}
		}}, []string{"GRP-7"}},
		{"the newest message is the first", mutant{onSent: func(r *reference) {
			last := len(r.messages) - 1
			r.messages = slices.Insert(r.messages[:last:last], 0, r.messages[last])
		}}, []string{"GRP-1", "SEND-9"}},
		{"a rejection leaves its group blocked", mutant{onSettled: func(r *reference, x *stored, s drivers.Settlement) {
			if s.Action == handler.ActionDeadLetter {
				for _, y := range r.messages {
					y.visibleAt = r.now.Add(time.Hour)
				}
			}
		}}, []string{"GRP-8"}},
		{"one group blocks all", mutant{onDelivered: func(x *stored, _ *drivers.Delivery) { x.m.Group = "g" }, onStored: func(_ *handler.Message, x *stored) {
			if x.m.Group != "" {
				x.m.Group = "g"
			}
		}}, []string{"GRP-4"}},
		{"what has no group is never delivered", mutant{onStored: func(_ *handler.Message, x *stored) {
			if x.m.Group == "" {
				x.visibleAt = x.visibleAt.Add(time.Hour)
			}
		}}, []string{"GRP-10"}},
		{"a late retry takes an ack back", mutant{resurrects: true}, []string{"DUP-2"}},
		{"duplicates are kept", mutant{identify: func(*handler.Message) string { return "" }}, []string{"DEDUP-1", "DEDUP-3"}},
		{"duplicates are told by their bodies", mutant{identify: func(m *handler.Message) string { return string(m.Body) }}, []string{"DEDUP-1", "DEDUP-2"}},
		{"duplicates are forgotten with an ack", mutant{onSettled: func(r *reference, _ *stored, _ drivers.Settlement) { clear(r.seen) }}, []string{"DEDUP-3"}},
		{"duplicates are dropped everywhere", mutant{dedupesAlways: true}, []string{"DEDUP-4"}},
		{"closing acks what is in flight", mutant{onClosed: func(r *reference) {
			r.messages = slices.DeleteFunc(r.messages, func(x *stored) bool { return x.inFlight })
		}}, []string{"CLOSE-4"}},
		{"closing one closes all", mutant{onClosed: func(r *reference) { r.removed = true }}, []string{"CLOSE-5"}},
		{"long values are cut", mutant{onStored: func(_ *handler.Message, x *stored) {
			for k, v := range x.m.Attributes {
				x.m.Attributes[k] = v[:min(len(v), 256)]
			}
		}}, []string{"ATTR-11"}},
		{"what looks escaped is unescaped", mutant{onStored: func(_ *handler.Message, x *stored) {
			for k, v := range x.m.Attributes {
				if u, err := url.PathUnescape(v); err == nil {
					x.m.Attributes[k] = u
				}
			}
		}}, []string{"ATTR-8"}},
		{"values are mended", mutant{onStored: func(_ *handler.Message, x *stored) {
			for k, v := range x.m.Attributes {
				x.m.Attributes[k] = strings.ToValidUTF8(v, "?")
			}
		}}, []string{"ATTR-9"}},
		{"ten attributes are one too many", mutant{onStored: func(_ *handler.Message, x *stored) {
			for k := range x.m.Attributes {
				if len(x.m.Attributes) > 9 {
					delete(x.m.Attributes, k)
				}
			}
		}}, []string{"ATTR-3", "ATTR-4", "REJ-8"}},
		{"a binary body costs the attributes", mutant{onStored: func(_ *handler.Message, x *stored) {
			if !utf8.Valid(x.m.Body) {
				x.m.Attributes = nil
			}
		}}, []string{"ATTR-10"}},
		{"bodies are trimmed", mutant{onStored: func(_ *handler.Message, x *stored) { x.m.Body = bytes.TrimSpace(x.m.Body) }}, []string{"BODY-1"}},
		{"an empty body is a space", mutant{onStored: func(_ *handler.Message, x *stored) {
			if len(x.m.Body) == 0 {
				x.m.Body = []byte(" ")
			}
		}}, []string{"BODY-3"}},
		{"what looks like base64 is decoded", mutant{onStored: func(_ *handler.Message, x *stored) {
			if raw, err := base64.StdEncoding.DecodeString(string(x.m.Body)); err == nil {
				x.m.Body = raw
			}
		}}, []string{"BODY-6"}},
		{"large bodies are cut", mutant{onStored: func(_ *handler.Message, x *stored) { x.m.Body = x.m.Body[:min(len(x.m.Body), 64<<10)] }}, []string{"BODY-7"}},
		{"heavy batches are lost", mutant{losesHeavyBatches: true}, []string{"SEND-11"}},
		{"every eighth message is lost", mutant{onSent: func(r *reference) {
			if r.ids%8 == 0 {
				r.messages = r.messages[:len(r.messages)-1]
			}
		}}, []string{"RECV-13", "CONC-4"}},
		{"a rejection leaves the message", mutant{onSettled: func(r *reference, x *stored, s drivers.Settlement) {
			if s.Action == handler.ActionDeadLetter {
				y := *x
				r.messages = append(r.messages, &y)
			}
		}}, []string{"REJ-1", "REJ-5", "BATCH-1"}},
		{"a rejection without a failure is a retry", mutant{onSettling: func(s *drivers.Settlement) {
			if s.Failure == nil && s.Action == handler.ActionDeadLetter {
				s.Action = handler.ActionRetry
			}
		}}, []string{"REJ-3"}},
		{"each delivery has an ID of its own", mutant{onDelivered: func(x *stored, d *drivers.Delivery) { d.Message.ID += x.receipt }}, []string{"ID-1"}},
		{"duplicates are told by the body", mutant{dedupesAlways: true, identify: func(m *handler.Message) string { return string(m.Body) }}, []string{"ID-2"}},
		{"a letter has its ID in the place of its dedupe ID", mutant{onBuried: func(x *stored) { x.m.ID += "'"; x.m.DedupeID = x.m.ID }}, []string{"ID-3", "ID-4", "ID-5", "ID-6", "ID-7"}},
		{"a redriven message has another ID", mutant{onRedriven: func(r *reference, _ *deadletter.Task) {
			for _, x := range r.messages {
				x.m.ID += "'"
			}
		}}, []string{"ID-5"}},
		{"a letter that is sent back is a duplicate", mutant{redrivesDuplicates: true}, []string{"ID-6"}},
		{"attempts go on in the dead-letter queue", mutant{onBuried: func(x *stored) { x.m.Attempt = 2 }}, []string{"ID-8"}},
		{"batches go from their end to their beginning", mutant{onSent: func(r *reference) {
			if n := len(r.messages); n > 1 {
				r.messages[n-1], r.messages[n-2] = r.messages[n-2], r.messages[n-1]
			}
		}}, []string{"ID-9"}},
		{"peek shows all", mutant{peeksAll: true}, []string{"INSP-7"}},
		{"purging the letters purges the queue", mutant{purgesTheQueueAlways: true}, []string{"PURGE-2"}},
		{"a plan never ends", mutant{plansForever: true}, []string{"PROV-1"}},
		{"a plan is an apply", mutant{plansApply: true}, []string{"PROV-2"}},
		{"a plan resets what it leaves unset", mutant{resetsUnset: true}, []string{"PROV-3"}},
		{"an examination finds a fault in anything", mutant{findsFaults: true}, []string{"PROV-4"}},
		{"purge takes the letters as well", mutant{purgeTakesLettersToo: true}, []string{"PURGE-1"}},
	}
}

func TestMutantsAreCaught(t *testing.T) {
	rules := map[string]Rule{}
	for _, r := range Rules() {
		rules[r.ID] = r
	}
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for _, id := range m.by {
				require.Contains(t, rules, id)
				result := decide(t.Context(), referenceHarness(m.mutant), rules[id])
				require.Equal(t, conformance.Failed, result.Status, "rule %s did not catch the mutant: %s", id, result.Note)
			}
		})
	}
}

func mapKeys(m map[string]string, f func(string) string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[f(k)] = v
	}
	return out
}

// A rule that no mutant breaks may be one that nothing can break.
func TestEveryRuleCatchesAMutant(t *testing.T) {
	caught := map[string]bool{"RECV-10": true} // see TestDeadlinesAreChecked
	for _, m := range mutations() {
		for _, id := range m.by {
			caught[id] = true
		}
	}
	for _, r := range Rules() {
		if !caught[r.ID] {
			t.Errorf("no mutant is caught by rule %s: %s", r.ID, r.Law)
		}
	}
}

// Deadlines go by the machine's clock, which the reference's tests do without.
func TestDeadlinesAreChecked(t *testing.T) {
	i := slices.IndexFunc(Rules(), func(r Rule) bool { return r.ID == "RECV-10" })
	for _, c := range []struct {
		name string
		by   time.Duration
		want conformance.Status
	}{
		{"sound", 0, conformance.Passed},
		{"later than the lease", 2 * time.Second, conformance.Failed},
		{"in the past", -2 * time.Minute, conformance.Failed},
	} {
		h := referenceHarness(mutant{onDelivered: func(_ *stored, d *drivers.Delivery) { d.Deadline = d.Deadline.Add(c.by) }})
		made := h.NewQueue
		h.NewQueue = func(ctx context.Context, o QueueOptions) (*Queue, error) {
			q, err := made(ctx, o)
			q.Advance = nil
			return q, err
		}
		got := decide(t.Context(), h, Rules()[i])
		require.Equal(t, c.want, got.Status, "%s: %s", c.name, got.Note)
	}
}
