package handler

import "time"

// AttributeExpires is the attribute that [Message.SetExpires] sets.
const AttributeExpires = "sluice-expires"

// A Message is one message of a queue, the same on every provider. The zero
// Message is an empty message, ready to be filled in and sent. A Message is not
// safe for concurrent use.
type Message struct {
	// ID is the provider's identifier. It is empty on a message that has not
	// been sent. Two deliveries with the same ID can be in flight at the same time.
	ID string

	// Body is the payload. Any bytes are allowed; a driver encodes bytes that its
	// provider cannot carry.
	Body []byte

	// Attributes are the message's metadata, any UTF-8 to any UTF-8. Nil means no
	// attributes. SQS carries at most ten; Pub/Sub a hundred.
	//
	// A handler or middleware may replace Body and Attributes before it calls the
	// next handler, but must not change the received bytes and map: the dead
	// letter of a rejected message contains them.
	Attributes map[string]string

	// Group names the messages that must be handled in order, one at a time,
	// if the queue keeps order. Empty means no group. SQS: message group ID;
	// Pub/Sub: ordering key. On a standard SQS queue it is a fair-queue tenant
	// and means no order.
	Group string

	// DedupeID is the sender's own identity for the message: a second message with
	// it is a duplicate. SQS: the message deduplication ID of a FIFO queue, and an
	// attribute on every queue. If it is empty, package producer then makes one
	// before the first try, which a received message has here. It stays the same
	// in each delivery, in a dead-letter queue and after a redrive. A copy of a
	// received message has it too. Code that makes several messages from one must
	// give each its own ID, or clear it.
	DedupeID string

	// Delay is how long a sent message stays invisible. It is read when the
	// message is sent and zero on a received one.
	Delay time.Duration

	// Attempt counts deliveries: 1 at the first, 0 if the provider does not
	// say. SQS: ApproximateReceiveCount; Pub/Sub: delivery attempt, known only
	// if the subscription has a dead-letter policy.
	Attempt int

	// EnqueuedAt is when the provider took the message. Zero on a message that
	// has not been sent.
	EnqueuedAt time.Time

	lease  Lease // an originLease if the message has an origin
	native any
}

// Attribute returns the value of the named attribute, or "" if there is none.
func (m *Message) Attribute(name string) string { return m.Attributes[name] }

// SetAttribute sets an attribute of a message before it is sent, making the map
// if there is none.
func (m *Message) SetAttribute(name, value string) {
	if m.Attributes == nil {
		m.Attributes = make(map[string]string, 4)
	}
	m.Attributes[name] = value
}

// SetExpires sets when the message is no longer worth handling, before it is sent. The
// zero time means never. It goes with the message as the attribute [AttributeExpires],
// through every queue, dead-letter queue and redrive. Package expiry, which is part of
// the standard middleware, drops or rejects a message past it; without that middleware it
// has no effect. Senders set it, and nobody vouches for it.
func (m *Message) SetExpires(at time.Time) {
	if at.IsZero() {
		delete(m.Attributes, AttributeExpires)
		return
	}
	m.SetAttribute(AttributeExpires, at.UTC().Format(time.RFC3339Nano))
}

// Expires returns when the message is no longer worth handling, and false if it never
// expires or if its attribute [AttributeExpires] is not a time of RFC 3339.
func (m *Message) Expires() (at time.Time, ok bool) {
	text, ok := m.Attributes[AttributeExpires]
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

// Origin describes the queue that a message was received from. One Origin serves all
// messages of a source and is never changed once messages carry it.
type Origin struct {
	// Queue is the queue's name as an operator knows it.
	Queue string
	// System names the provider as OpenTelemetry's messaging.system does:
	// "aws_sqs", "gcp_pubsub"; "sluice_mem" and "sluice_sqlite" for the
	// embedded queue.
	System string
	// MaxDelay is the longest delay that a retry may have. Zero means that
	// there is no limit.
	MaxDelay time.Duration
	// Server is the host name of the provider's endpoint, empty if it has none.
	Server string
}

// Origin returns the queue that the message was received from. It is the zero Origin on
// a message that was not received from a queue.
func (m *Message) Origin() Origin {
	if l, ok := m.lease.(originLease); ok && l.Origin() != nil {
		return *l.Origin()
	}
	return Origin{}
}

// Lease returns the lease under which the message is handled. It is never nil:
// without a lease (AWS Lambda, HTTP push, a message made by hand) it is one
// that refuses with [ErrNoLease].
func (m *Message) Lease() Lease {
	l := m.lease
	if b, ok := l.(*boundLease); ok {
		l = b.Lease
	}
	if l == nil {
		return noLease{}
	}
	return l
}

// Bind attaches the origin and the lease to a message. It is for those who
// deliver messages (the runtime, a test kit), not for handlers. Either may be
// nil. It allocates, unless the lease has a method Origin() *Origin that returns o, and
// goes on returning it.
func (m *Message) Bind(o *Origin, l Lease) {
	var own *Origin
	if from, ok := l.(originLease); ok {
		own = from.Origin()
	}
	if own != o {
		l = &boundLease{Lease: l, origin: o}
	}
	m.lease = l
}

// An originLease is a lease that knows the origin of its message. Without a field for
// the origin ten messages fit into a size class of the allocator that is smaller by 256
// bytes.
type originLease interface {
	Lease
	Origin() *Origin
}

// A boundLease is the originLease of an origin and a lease, which may be nil.
type boundLease struct {
	Lease
	origin *Origin
}

// Origin implements originLease.
func (b *boundLease) Origin() *Origin { return b.origin }

// SetNative attaches a driver's data about a message, such as the types of
// SQS's attributes. It is for drivers, not for handlers. It must not be changed
// after that: copies of the message share it.
func (m *Message) SetNative(native any) { m.native = native }

// Native returns what [Message.SetNative] has attached, nil on a message that no
// driver received. A driver that sends the message, or a copy of it, honors what
// its own type says of values that have not changed since.
func (m *Message) Native() any { return m.native }
