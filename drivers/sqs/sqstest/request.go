package sqstest

import (
	"slices"
	"strings"
)

// The requests, one struct an action. decode reads the members of the one
// object that a request is; queueRef says which queue it concerns, as a URL, a
// name or an ARN, for faults and the request log.

type createQueueRequest struct {
	name       string
	attributes map[string]string
	tags       map[string]string
}

func (q *createQueueRequest) queueRef() string { return q.name }
func (q *createQueueRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueName":
			q.name = r.str()
		case "Attributes":
			q.attributes = r.stringMap()
		case "tags", "Tags":
			q.tags = r.stringMap()
		default:
			r.skip()
		}
	})
}

type getQueueURLRequest struct{ name, owner string }

func (q *getQueueURLRequest) queueRef() string { return q.name }
func (q *getQueueURLRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueName":
			q.name = r.str()
		case "QueueOwnerAWSAccountId":
			q.owner = r.str()
		default:
			r.skip()
		}
	})
}

// listRequest is ListQueues, ListDeadLetterSourceQueues and
// ListMessageMoveTasks.
type listRequest struct {
	url, prefix, token string
	source             string
	max                *int
}

func (q *listRequest) queueRef() string { return q.url + q.source }
func (q *listRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			q.url = r.str()
		case "QueueNamePrefix":
			q.prefix = r.str()
		case "NextToken":
			q.token = r.str()
		case "SourceArn":
			q.source = r.str()
		case "MaxResults":
			q.max = r.integer()
		default:
			r.skip()
		}
	})
}

// queueRequest is every action on a queue that has at most names, attributes or
// tags besides.
type queueRequest struct {
	url        string
	names      []string // AttributeNames, TagKeys
	attributes map[string]string
	tags       map[string]string
}

func (q *queueRequest) queueRef() string { return q.url }
func (q *queueRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			q.url = r.str()
		case "AttributeNames", "TagKeys":
			q.names = r.strings()
		case "Attributes":
			q.attributes = r.stringMap()
		case "Tags":
			q.tags = r.stringMap()
		default:
			r.skip()
		}
	})
}

type permissionRequest struct {
	url, label        string
	accounts, actions []string
}

func (q *permissionRequest) queueRef() string { return q.url }
func (q *permissionRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			q.url = r.str()
		case "Label":
			q.label = r.str()
		case "AWSAccountIds":
			q.accounts = r.strings()
		case "Actions":
			q.actions = r.strings()
		default:
			r.skip()
		}
	})
}

// outgoing is a message to send: the whole of SendMessage, or an entry.
type outgoing struct {
	id         string
	body       []byte
	delay      *int
	attributes []attribute
	system     []attribute
	group      *string
	dedupe     *string
}

// member reads a member of a message, if it is one.
func (m *outgoing) member(r *reader, key []byte) bool {
	switch string(key) {
	case "Id":
		m.id = r.str()
	case "MessageBody":
		m.body = r.bytes()
	case "DelaySeconds":
		m.delay = r.integer()
	case "MessageAttributes":
		m.attributes = decodeAttributes(r)
	case "MessageSystemAttributes":
		m.system = decodeAttributes(r)
	case "MessageGroupId":
		m.group = r.optional()
	case "MessageDeduplicationId":
		m.dedupe = r.optional()
	default:
		return false
	}
	return true
}

// optional reads a string that may be absent, which is not the same as empty.
func (r *reader) optional() *string {
	if r.null() {
		return nil
	}
	s := r.str()
	return &s
}

type sendRequest struct {
	url     string
	message outgoing
}

func (q *sendRequest) queueRef() string { return q.url }
func (q *sendRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch {
		case string(key) == "QueueUrl":
			q.url = r.str()
		case q.message.member(r, key):
		default:
			r.skip()
		}
	})
}

type sendBatchRequest struct {
	url     string
	entries []outgoing
}

func (q *sendBatchRequest) queueRef() string { return q.url }
func (q *sendBatchRequest) size() int        { return len(q.entries) }
func (q *sendBatchRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			q.url = r.str()
		case "Entries":
			r.array(func() {
				var m outgoing
				r.object(func(key []byte) {
					if !m.member(r, key) {
						r.skip()
					}
				})
				q.entries = append(q.entries, m)
			})
		default:
			r.skip()
		}
	})
}

type receiveRequest struct {
	url                   string
	system                []string // AttributeNames and MessageSystemAttributeNames
	attributes            []string
	max, visibility, wait *int
	attempt               *string
}

func (q *receiveRequest) queueRef() string { return q.url }
func (q *receiveRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			q.url = r.str()
		case "AttributeNames", "MessageSystemAttributeNames":
			for _, name := range r.strings() {
				if !slices.Contains(q.system, name) {
					q.system = append(q.system, name)
				}
			}
		case "MessageAttributeNames":
			q.attributes = r.strings()
		case "MaxNumberOfMessages":
			q.max = r.integer()
		case "VisibilityTimeout":
			q.visibility = r.integer()
		case "WaitTimeSeconds":
			q.wait = r.integer()
		case "ReceiveRequestAttemptId":
			q.attempt = r.optional()
		default:
			r.skip()
		}
	})
}

// delivery names a delivery to delete or to extend.
type delivery struct {
	id, handle string
	visibility *int
}

func (d *delivery) member(r *reader, key []byte) bool {
	switch string(key) {
	case "Id":
		d.id = r.str()
	case "ReceiptHandle":
		d.handle = r.str()
	case "VisibilityTimeout":
		d.visibility = r.integer()
	default:
		return false
	}
	return true
}

type deliveryRequest struct {
	url      string
	delivery delivery
}

func (q *deliveryRequest) queueRef() string { return q.url }
func (q *deliveryRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch {
		case string(key) == "QueueUrl":
			q.url = r.str()
		case q.delivery.member(r, key):
		default:
			r.skip()
		}
	})
}

type deliveryBatchRequest struct {
	url     string
	entries []delivery
}

func (q *deliveryBatchRequest) queueRef() string { return q.url }
func (q *deliveryBatchRequest) size() int        { return len(q.entries) }
func (q *deliveryBatchRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "QueueUrl":
			q.url = r.str()
		case "Entries":
			r.array(func() {
				var d delivery
				r.object(func(key []byte) {
					if !d.member(r, key) {
						r.skip()
					}
				})
				q.entries = append(q.entries, d)
			})
		default:
			r.skip()
		}
	})
}

type startMoveRequest struct {
	source, destination string
	rate                *int
}

func (q *startMoveRequest) queueRef() string { return q.source }
func (q *startMoveRequest) decode(r *reader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "SourceArn":
			q.source = r.str()
		case "DestinationArn":
			q.destination = r.str()
		case "MaxNumberOfMessagesPerSecond":
			q.rate = r.integer()
		default:
			r.skip()
		}
	})
}

type cancelMoveRequest struct{ handle string }

func (q *cancelMoveRequest) queueRef() string {
	_, source, _ := decodeTaskHandle(q.handle)
	return source
}

func (q *cancelMoveRequest) decode(r *reader) {
	r.object(func(key []byte) {
		if string(key) == "TaskHandle" {
			q.handle = r.str()
			return
		}
		r.skip()
	})
}

// queueName takes the name from a queue's URL, ARN or bare name.
func queueName(ref string) string {
	ref = strings.TrimSuffix(ref, "/")
	if strings.HasPrefix(ref, "arn:") {
		return ref[strings.LastIndexByte(ref, ':')+1:]
	}
	return ref[strings.LastIndexByte(ref, '/')+1:]
}
