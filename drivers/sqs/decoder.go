package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
)

// A decoder decodes messages that were received from a queue. It is the reverse of
// [encoder].
type decoder struct{ *queue }

// deliveries decodes messages whose leases end at deadline.
func (d decoder) deliveries(from []types.Message, deadline time.Time) []drivers.Delivery {
	messages := make([]handler.Message, len(from))
	ds := make([]drivers.Delivery, len(from))
	bodies := newSlab(from)
	for i := range from {
		if received := d.decodeIn(bodies, &from[i], &messages[i]); len(received) > 0 {
			messages[i].SetNative(received)
		}
		ds[i] = drivers.Delivery{Message: &messages[i], Deadline: deadline}
		if r := from[i].ReceiptHandle; r != nil {
			ds[i].Receipt = *r
		}
	}
	return ds
}

// decode accepts anything that another sender may have sent: it leaves unchanged
// all that is not the driver's own encoding.
func (d decoder) decode(from *types.Message, m *handler.Message) { d.decodeIn(nil, from, m) }

// decodeIn is decode with the body's bytes taken from a slab. It returns the
// attributes with their types, packed ones included, or nil if all of the message's
// attributes are the driver's.
func (d decoder) decodeIn(bodies *slab, from *types.Message, m *handler.Message) asReceived {
	m.ID = aws.ToString(from.MessageId)
	if len(from.MessageAttributes) > 0 {
		m.Attributes = make(map[string]string, len(from.MessageAttributes))
		for name, value := range from.MessageAttributes {
			m.Attributes[name] = text(value)
		}
	}
	var packed more
	if s, ok := m.Attributes[attributeMore]; ok {
		var err error
		if packed, err = parseMore(s); err != nil {
			packed = more{}
		} else {
			delete(m.Attributes, attributeMore)
		}
	}
	for name, value := range packed.Own {
		if _, ok := m.Attributes[name]; !ok && own(name) && name != attributeMore {
			m.Attributes[name] = value
		}
	}
	decodeBody(bodies, aws.ToString(from.Body), m)
	m.Attempt = d.attempt(from)
	d.decodeSystem(from.Attributes, m)
	take(m, attributeGroup, func(s string) {
		// Only the group that SQS orders by may have another spelling: a sender must
		// not take its message out of the order of its group.
		if m.Group == "" || token(s) == m.Group {
			m.Group = s
		}
	})
	take(m, attributeDedupe, func(s string) { m.DedupeID = s })
	// These come last: they may have the names of the driver's own.
	maps.Copy(m.Attributes, packed.Text)
	maps.Copy(m.Attributes, packed.Raw)
	received := asReceived(from.MessageAttributes).restored(packed.Kinds, m.Attributes)
	drivers.UnpackFailure(m.Attributes)
	if origin := d.origin(from); origin != "" {
		decodeOrigin(origin, d.origins.before(origin), m)
	}
	if len(m.Attributes) == 0 {
		m.Attributes = nil
		return nil
	}
	return received
}

func (d decoder) decodeSystem(system map[string]string, m *handler.Message) {
	if ms, err := strconv.ParseInt(system[sysSent], 10, 64); err == nil {
		m.EnqueuedAt = time.UnixMilli(ms)
	}
	m.Group = system[sysGroup]
	// In a dead-letter queue SQS replaces the sender's ID by the message ID.
	if id := system[sysDedupe]; id != m.ID && !d.madeUp(id, m.Body) {
		m.DedupeID = id
	}
	if header := system[traceHeader]; header != "" {
		m.SetAttribute(traceHeader, header)
	}
}

// madeUp reports whether id is the deduplication ID of a letter or a redrive, or
// the hash of the body, which distinct messages may share.
func (d decoder) madeUp(id string, body []byte) bool {
	if strings.HasPrefix(id, ownDedupe) {
		return !identity.Made(id)
	}
	if !d.contentDedupe || len(id) != 2*sha256.Size {
		return false
	}
	sum := sha256.Sum256(body)
	return id == hex.EncodeToString(sum[:])
}

// origin returns the ARN of the queue from which SQS has dead-lettered the message
// to this one, or "".
func (d decoder) origin(from *types.Message) string {
	if o := from.Attributes[sysOrigin]; o != d.arn {
		return o
	}
	return "" // it was redriven
}

// attempt returns the attempt of a message, counted from its arrival in this queue.
// It is 0 if SQS does not report a receive count.
func (d decoder) attempt(from *types.Message) int {
	n, err := strconv.ParseUint(from.Attributes[sysReceives], 10, 31)
	if err != nil {
		return 0
	}
	count := int(n)
	arn := d.origin(from)
	if arn == "" || count == 0 {
		return count
	}
	return d.origins.attempt(arn, count)
}

// learn reads the policies of the queues from which SQS has dead-lettered messages,
// each once. decode then computes their attempts.
func (d decoder) learn(ctx context.Context, op string, from []types.Message) {
	for i := range from {
		o := d.origin(&from[i])
		if o == "" || !d.origins.due(o) {
			continue
		}
		if receives, ok := d.allowed(ctx, op, o); ok {
			d.origins.learn(o, receives)
		}
	}
}

// allowed returns how often the policy of the queue from lets a message be received
// before SQS moves it to this queue. It returns false if the policy cannot be read,
// or sends messages to another queue now.
func (d decoder) allowed(ctx context.Context, op, from string) (int, bool) {
	if !arn.IsARN(from) {
		return 0, false
	}
	where, err := d.sibling(from)
	if err != nil {
		return 0, false
	}
	source := &queue{api: d.api, url: where, name: lastSegment(where)}
	rctx, cancel := within(ctx, originTime)
	defer cancel()
	as, err := source.attributes(rctx, op, types.QueueAttributeNameRedrivePolicy)
	if err != nil || as[attrRedrive] == "" {
		return 0, false
	}
	p, err := parseRedrivePolicy(as[attrRedrive])
	if err != nil || p.target != d.arn {
		return 0, false
	}
	return p.maxReceives, true
}

func decodeBody(bodies *slab, body string, m *handler.Message) {
	switch m.Attributes[attributeBody] {
	case bodyBase64:
		if b, err := base64.StdEncoding.DecodeString(body); err == nil {
			m.Body = b
			delete(m.Attributes, attributeBody)
			return
		}
	case bodyEmpty:
		if body == emptyBody {
			m.Body = []byte{}
			delete(m.Attributes, attributeBody)
			return
		}
	}
	m.Body = bodies.copy(body)
}

// decodeOrigin sets, on a letter that SQS itself has dead-lettered, the attribute
// that names its queue, as explicit letters have it. SQS moves a message with the
// attributes that it has, so other failure attributes are its sender's, or those of
// an earlier failure. attempts is how often the message was received before, 0 if that is
// not known.
func decodeOrigin(origin string, attempts int, m *handler.Message) {
	a, err := arn.Parse(origin)
	if err != nil {
		return
	}
	if _, ok := drivers.ParseFailure(m.Attributes); ok {
		m.Attributes = drivers.WithoutFailure(m.Attributes)
	}
	m.SetAttribute(drivers.AttributeDeadLetterQueue, a.Resource)
	if attempts > 0 {
		m.SetAttribute(drivers.AttributeDeadLetterAttempt, strconv.Itoa(attempts))
	}
}

// take removes one of the driver's own attributes from the message and passes its
// unwrapped value to use.
func take(m *handler.Message, name string, use func(string)) {
	s, ok := m.Attributes[name]
	if !ok {
		return
	}
	delete(m.Attributes, name)
	if strings.HasPrefix(s, wrapped) {
		if one, err := parseMore(s); err == nil && len(one.Text)+len(one.Raw) == 1 && len(one.Own) == 0 {
			for _, s = range one.Text {
				break
			}
			for _, s = range one.Raw {
				break
			}
		}
	}
	use(s)
}
