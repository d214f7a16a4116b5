package sqstest

import (
	"strconv"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// sequenceDigits is the length of a FIFO queue's sequence numbers.
const sequenceDigits = 20

// sendActions send messages.
type sendActions struct{ *registry }

func (s *sendActions) sendMessage(c *call, q *sendRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	m := &q.outgoing
	if err := checkSize(m, found, "are invalid"); err != nil {
		return err
	}
	ready, err := s.prepare(c, found, m)
	if err != nil {
		return err
	}
	sent, bad := s.engine.Send(c.ctx, found.name, []queue.Message{ready})
	if bad != nil {
		return s.gone(found.name, bad)
	}
	c.out.open('{')
	writeSent(c, found, m, &sent[0])
	c.out.close('}')
	return nil
}

func (s *sendActions) sendMessageBatch(c *call, q *sendBatchRequest) *apiError {
	found, err := s.queue(c.ctx, q.QueueURL)
	if err != nil {
		return err
	}
	n := len(q.Entries)
	id := func(i int) string { return q.Entries[i].ID }
	if err := checkEntries("SendMessage", n, id); err != nil {
		return err
	}
	total := 0
	for i := range q.Entries {
		m := &q.Entries[i]
		total += sizeOf(m.MessageBody, m.MessageAttributes)
		if !found.fifo {
			continue
		}
		// A parameter that a FIFO queue needs and one entry lacks fails the
		// whole batch.
		if !found.contentDedupe && (m.MessageDeduplicationID == nil || *m.MessageDeduplicationID == "") {
			return noDedupeID()
		}
		if m.MessageGroupID == nil || *m.MessageGroupID == "" {
			return invalidParameter("%s", missing("MessageGroupId").message)
		}
	}
	if total > maxMessageSize {
		return fault(codeBatchRequestTooLong, "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageSize, total)
	}
	errs := make([]*apiError, n)
	ready := make([]queue.Message, 0, n)
	place := make([]int, n) // of an entry in ready
	for i := range q.Entries {
		m := &q.Entries[i]
		if errs[i] = c.effects.entryError(m.ID); errs[i] != nil {
			continue
		}
		if errs[i] = checkSize(m, found, "cannot be validated"); errs[i] != nil {
			continue
		}
		var message queue.Message
		if message, errs[i] = s.prepare(c, found, m); errs[i] == nil {
			place[i] = len(ready)
			ready = append(ready, message)
		}
	}
	var sent []queue.Message
	if len(ready) > 0 {
		var bad error
		if sent, bad = s.engine.Send(c.ctx, found.name, ready); bad != nil {
			return s.gone(found.name, bad)
		}
	}
	writeBatch(c, n, id, errs, func(i int) { writeSent(c, found, &q.Entries[i], &sent[place[i]]) })
	return nil
}

// checkSize checks a message's size. SQS words it otherwise in an entry of a
// batch.
func checkSize(m *outgoing, q *settings, verdict string) *apiError {
	if sizeOf(m.MessageBody, m.MessageAttributes) > q.maxSize {
		return invalidParameter("One or more parameters %s. Reason: Message must be shorter than %d bytes.", verdict, q.maxSize)
	}
	return nil
}

func noDedupeID() *apiError {
	return invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
}

// prepare checks a message and makes the engine's of it.
func (s *sendActions) prepare(c *call, q *settings, m *outgoing) (queue.Message, *apiError) {
	var none queue.Message
	if err := checkBody(m.MessageBody); err != nil {
		return none, err
	}
	if err := checkAttributes(m.MessageAttributes); err != nil {
		return none, err
	}
	trace, err := checkSystemAttributes(m.MessageSystemAttributes)
	if err != nil {
		return none, err
	}
	if trace == "" {
		trace = c.trace
	}
	out := queue.Message{Body: m.MessageBody, Delay: -1}
	if m.DelaySeconds != nil {
		switch d := int(*m.DelaySeconds); {
		case d < 0 || d > maxDelaySeconds:
			return none, invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= %d.", d, maxDelaySeconds)
		case q.fifo && d > 0:
			return none, wrongForType(d, "DelaySeconds")
		case !q.fifo:
			out.Delay = time.Duration(d) * time.Second
		}
	}
	if m.MessageGroupID != nil { // on a standard queue, too: an empty one is refused
		if err := checkID(*m.MessageGroupID, "MessageGroupId"); err != nil {
			return none, err
		}
		out.Group = *m.MessageGroupID
	}
	if q.fifo && out.Group == "" {
		return none, missing("MessageGroupId")
	}
	if m.MessageDeduplicationID != nil {
		if !q.fifo {
			return none, wrongForType(*m.MessageDeduplicationID, "MessageDeduplicationId")
		}
		if err := checkID(*m.MessageDeduplicationID, "MessageDeduplicationId"); err != nil {
			return none, err
		}
		out.DedupeID = *m.MessageDeduplicationID
	}
	if q.fifo && out.DedupeID == "" {
		if !q.contentDedupe {
			return none, noDedupeID()
		}
		out.DedupeID = contentID(m.MessageBody)
	}
	e := extra{sender: c.sender, trace: trace, attributes: m.MessageAttributes}
	out.Extra = e.encode()
	return out, nil
}

// writeSent writes what a client learns of a message that it sent.
func writeSent(c *call, q *settings, m *outgoing, sent *queue.Message) {
	w := &c.out
	w.member("MessageId", sent.ID)
	w.member("MD5OfMessageBody", md5Of(m.MessageBody))
	if sum := md5OfAttributes(m.MessageAttributes); sum != "" {
		w.member("MD5OfMessageAttributes", sum)
	}
	if sum := md5OfAttributes(m.MessageSystemAttributes); sum != "" {
		w.member("MD5OfMessageSystemAttributes", sum)
	}
	if q.fifo {
		w.member("SequenceNumber", sequenceNumber(sent.Sequence))
	}
}

// sequenceNumber makes the engine's sequence as long as SQS's, so that the order
// of the texts is that of the numbers.
func sequenceNumber(n int64) string {
	digits := strconv.FormatInt(n, 10)
	const prefix = "188"
	out := append(make([]byte, 0, sequenceDigits), prefix...)
	for range sequenceDigits - len(prefix) - len(digits) {
		out = append(out, '0')
	}
	return string(append(out, digits...))
}
