package sqs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/identity"
)

// The system attributes that a receive asks for. It asks in both of SQS's forms:
// servers of other makers know only one of them, AttributeNames, and answer the
// other with messages without attempt and group.
const (
	sysReceives = string(types.MessageSystemAttributeNameApproximateReceiveCount)
	sysSent     = string(types.MessageSystemAttributeNameSentTimestamp)
	sysGroup    = string(types.MessageSystemAttributeNameMessageGroupId)
	sysDedupe   = string(types.MessageSystemAttributeNameMessageDeduplicationId)
	sysOrigin   = string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)
)

func systemAttributes(fifo bool) systemNames {
	names := []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameSentTimestamp,
		types.MessageSystemAttributeNameMessageGroupId,
		types.MessageSystemAttributeNameAWSTraceHeader,
		types.MessageSystemAttributeNameDeadLetterQueueSourceArn,
	}
	if fifo {
		names = append(names, types.MessageSystemAttributeNameMessageDeduplicationId)
	}
	s := systemNames{names: names}
	for _, name := range names {
		s.older = append(s.older, types.QueueAttributeName(name))
	}
	return s
}

// systemNames are names of system attributes, in the newer and the older form.
type systemNames struct {
	names []types.MessageSystemAttributeName
	older []types.QueueAttributeName
}

// ask has a receive ask for them.
func (s systemNames) ask(in *awssqs.ReceiveMessageInput) {
	in.MessageSystemAttributeNames, in.AttributeNames = s.names, s.older //nolint:staticcheck // the older form, on purpose
}

// ungrouped is the error of a receive from a FIFO queue whose answer has a message
// without its group, nil if each has one. Without groups the messages of one would
// be handled side by side.
func (q *queue) ungrouped(op string, from []types.Message) error {
	if !q.fifo {
		return nil
	}
	for i := range from {
		if from[i].Attributes[sysGroup] == "" {
			return &drivers.Error{Code: drivers.Unsupported, Queue: q.name, Op: op,
				Err:    fmt.Errorf("the server gives message %s of a FIFO queue without its MessageGroupId: the order of groups can't be kept", deref(from[i].MessageId)),
				Remedy: "use a server that answers MessageSystemAttributeNames or AttributeNames, or a standard queue"}
		}
	}
	return nil
}

// decode is the reverse of encode. It takes whatever a foreign sender may have
// sent: what does not look like the driver's own encoding stays as it is.
func (q *queue) decode(from *types.Message, m *handler.Message) { q.decodeIn(nil, from, m) }

// decodeIn is decode with the body's bytes taken from a slab. It returns the
// attributes with their types, those that were packed among them, and nil if the
// message has no attributes but the driver's.
func (q *queue) decodeIn(bodies *slab, from *types.Message, m *handler.Message) asReceived {
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
	m.Attempt = q.attempt(from)
	q.decodeSystem(from.Attributes, m)
	take(m, attributeGroup, func(s string) { m.Group = s })
	take(m, attributeDedupe, func(s string) { m.DedupeID = s })
	// Last: what they hold may be called as the driver's own are.
	maps.Copy(m.Attributes, packed.Text)
	maps.Copy(m.Attributes, packed.Raw)
	received := asReceived(from.MessageAttributes).restored(packed.Kinds, m.Attributes)
	drivers.UnpackFailure(m.Attributes)
	if origin := q.originOf(from); origin != "" {
		decodeOrigin(origin, m)
	}
	if len(m.Attributes) == 0 {
		m.Attributes = nil
		return nil
	}
	return received
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

// A slab holds the small bodies of one receive: one allocation for ten. The zero
// slab and a nil one give each body its own.
type slab []byte

// maxSlab bounds what one message that is held for long keeps of the others it
// came with.
const maxSlab = 16 << 10

func newSlab(from []types.Message) *slab {
	size := 0
	for i := range from {
		if from[i].Body != nil {
			size += len(*from[i].Body)
		}
	}
	var s slab
	if size <= maxSlab {
		s = make(slab, 0, size)
	}
	return &s
}

// copy returns the bytes of body, which share nothing with any other's: to
// append to them allocates.
func (s *slab) copy(body string) []byte {
	if s == nil || cap(*s)-len(*s) < len(body) {
		return []byte(body)
	}
	begin := len(*s)
	*s = append(*s, body...)
	return (*s)[begin:len(*s):len(*s)]
}

func (q *queue) decodeSystem(system map[string]string, m *handler.Message) {
	if ms, err := strconv.ParseInt(system[sysSent], 10, 64); err == nil {
		m.EnqueuedAt = time.UnixMilli(ms)
	}
	m.Group = system[sysGroup]
	// In a dead-letter queue SQS puts the message ID in the place of the sender's.
	if id := system[sysDedupe]; id != m.ID && !q.madeUp(id, m.Body) {
		m.DedupeID = id
	}
	if header := system[traceHeader]; header != "" {
		m.SetAttribute(traceHeader, header)
	}
}

// madeUp reports whether id is the deduplication ID of a letter or a redrive, or
// the hash of the body, which two messages may share that are not duplicates.
func (q *queue) madeUp(id string, body []byte) bool {
	if strings.HasPrefix(id, ownDedupe) {
		return !identity.Made(id)
	}
	if !q.contentDedupe || len(id) != 2*sha256.Size {
		return false
	}
	sum := sha256.Sum256(body)
	return id == hex.EncodeToString(sum[:])
}

// decodeOrigin tells a letter that SQS itself has dead-lettered where it came
// from, by the attribute that explicit dead letters have. SQS moves a message with
// the attributes that it has: what those say of a failure is its sender's, or of
// an earlier life.
func decodeOrigin(origin string, m *handler.Message) {
	a, err := arn.Parse(origin)
	if err != nil {
		return
	}
	if _, told := drivers.ParseFailure(m.Attributes); told {
		m.Attributes = drivers.WithoutFailure(m.Attributes)
	}
	m.SetAttribute(drivers.AttributeDeadLetterQueue, a.Resource)
}

// take removes one of the driver's own attributes from the message and hands its
// value on, unwrapped.
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
