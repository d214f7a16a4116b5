package protocol

import (
	"encoding/base64"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// maxEntries is how many messages or entries a response has, at most.
const maxEntries = 10

// decodes reports whether decode knows the type of out.
func decodes(out smithy.Deserializable) bool {
	switch out.(type) {
	case *awssqs.ReceiveMessageOutput, *awssqs.SendMessageBatchOutput,
		*awssqs.DeleteMessageBatchOutput, *awssqs.ChangeMessageVisibilityBatchOutput:
		return true
	}
	return false
}

// decode decodes a response into out. It returns false, and leaves out unchanged, if
// the SDK must decode it.
func decode(body []byte, out smithy.Deserializable) bool {
	d := decoder{parser: parser{input: body},
		kept: texts{size: keptBlock, most: len(body)}, brief: texts{size: briefBlock, most: len(body)}, values: texts{size: keptBlock, most: len(body)}}
	switch out := out.(type) {
	case *awssqs.ReceiveMessageOutput:
		messages := d.received()
		if d.finish() {
			out.Messages = messages
			return true
		}
	case *awssqs.SendMessageBatchOutput:
		return outcome(&d, &out.Successful, &out.Failed, d.sent)
	case *awssqs.DeleteMessageBatchOutput:
		return outcome(&d, &out.Successful, &out.Failed, func(e *types.DeleteMessageBatchResultEntry) { d.entry(&e.Id) })
	case *awssqs.ChangeMessageVisibilityBatchOutput:
		return outcome(&d, &out.Successful, &out.Failed, func(e *types.ChangeMessageVisibilityBatchResultEntry) { d.entry(&e.Id) })
	}
	return false
}

// A decoder decodes one response. Its methods do nothing once it has failed.
//
// Strings that a driver keeps with a message share memory, and so do those that it
// drops when it has decoded the message, so that the latter do not stay with a held
// message. The values of attributes are separate, since a driver keeps the pointers to
// them too.
type decoder struct {
	parser
	kept, brief, values texts
}

// received decodes the output of ReceiveMessage.
func (d *decoder) received() []types.Message {
	var messages []types.Message
	d.object(func(key []byte) {
		if string(key) != "Messages" || messages != nil {
			d.fail()
			return
		}
		messages = items(d, messages, d.message)
	})
	return messages
}

func (d *decoder) message(m *types.Message) {
	d.object(func(key []byte) {
		switch string(key) {
		case "Attributes":
			m.Attributes = d.system(m.Attributes)
		case "Body":
			d.field(&m.Body, &d.brief)
		case "MD5OfBody":
			d.field(&m.MD5OfBody, &d.brief)
		case "MD5OfMessageAttributes":
			d.field(&m.MD5OfMessageAttributes, &d.brief)
		case "MessageAttributes":
			m.MessageAttributes = d.attributes(m.MessageAttributes)
		case "MessageId":
			d.field(&m.MessageId, &d.kept)
		case "ReceiptHandle":
			d.field(&m.ReceiptHandle, &d.kept)
		default:
			d.fail()
		}
	})
}

// system decodes the system attributes. It fails if there are some already.
func (d *decoder) system(already map[string]string) map[string]string {
	if already != nil {
		d.fail()
		return already
	}
	as := make(map[string]string, 2)
	d.object(func(key []byte) {
		name := d.name(key)
		as[name] = d.string(&d.kept)
	})
	return as
}

// attributes decodes the message's own attributes. It fails if there are some already.
func (d *decoder) attributes(already map[string]types.MessageAttributeValue) map[string]types.MessageAttributeValue {
	if already != nil {
		d.fail()
		return already
	}
	as := make(map[string]types.MessageAttributeValue, 1)
	d.object(func(key []byte) {
		name := d.name(key)
		as[name] = d.attribute()
	})
	return as
}

func (d *decoder) attribute() (v types.MessageAttributeValue) {
	d.object(func(key []byte) {
		switch string(key) {
		case "DataType":
			d.field(&v.DataType, &d.values)
		case "StringValue":
			d.field(&v.StringValue, &d.values)
		case "BinaryValue":
			if v.BinaryValue != nil {
				d.fail()
				return
			}
			v.BinaryValue = d.binary()
		default:
			d.fail() // lists, which SQS does not implement
		}
	})
	return v
}

func (d *decoder) binary() []byte {
	text, escaped := d.quoted()
	if d.failed || escaped {
		d.fail()
		return nil
	}
	b, err := base64.StdEncoding.AppendDecode([]byte{}, text)
	if err != nil {
		d.fail()
	}
	return b
}

// outcome decodes the output of a batch, each successful entry by one. It returns false,
// and sets nothing, if the SDK must decode it: that is so if an entry has failed.
func outcome[T any](d *decoder, successful *[]T, failed *[]types.BatchResultErrorEntry, one func(*T)) bool {
	var entries []T
	var none []types.BatchResultErrorEntry
	d.object(func(key []byte) {
		switch string(key) {
		case "Failed":
			if none != nil {
				d.fail()
				return
			}
			none = []types.BatchResultErrorEntry{}
			d.list(d.fail)
		case "Successful":
			entries = items(d, entries, one)
		default:
			d.fail()
		}
	})
	if !d.finish() {
		return false
	}
	*successful, *failed = entries, none
	return true
}

func (d *decoder) sent(e *types.SendMessageBatchResultEntry) {
	d.object(func(key []byte) {
		switch string(key) {
		case "Id":
			d.field(&e.Id, &d.brief)
		case "MD5OfMessageAttributes":
			d.field(&e.MD5OfMessageAttributes, &d.brief)
		case "MD5OfMessageBody":
			d.field(&e.MD5OfMessageBody, &d.brief)
		case "MD5OfMessageSystemAttributes":
			d.field(&e.MD5OfMessageSystemAttributes, &d.brief)
		case "MessageId":
			d.field(&e.MessageId, &d.kept)
		case "SequenceNumber":
			d.field(&e.SequenceNumber, &d.brief)
		default:
			d.fail()
		}
	})
}

// entry decodes an entry that has an ID only.
func (d *decoder) entry(id **string) {
	d.object(func(key []byte) {
		if string(key) != "Id" {
			d.fail()
			return
		}
		d.field(id, &d.brief)
	})
}

// field decodes a string. It fails if the field has a value already.
func (d *decoder) field(to **string, in *texts) {
	if *to != nil {
		d.fail()
		return
	}
	*to = in.pointer(d.string(in))
}

func (d *decoder) string(in *texts) string {
	text, escaped := d.quoted()
	if d.failed {
		return ""
	}
	if s, ok := common(text); ok {
		return s
	}
	if !escaped {
		return in.copy(text)
	}
	s, ok := in.unquote(text)
	if !ok {
		d.fail()
	}
	return s
}

// name returns the name of an attribute.
func (d *decoder) name(key []byte) string {
	if s, ok := common(key); ok {
		return s
	}
	return d.kept.copy(key)
}

// common returns the string for a text that almost every message has, without a copy.
func common(text []byte) (string, bool) {
	switch string(text) {
	case "":
		return "", true
	case "SentTimestamp":
		return "SentTimestamp", true
	case "ApproximateReceiveCount":
		return "ApproximateReceiveCount", true
	case "MessageGroupId":
		return "MessageGroupId", true
	case "MessageDeduplicationId":
		return "MessageDeduplicationId", true
	case "SequenceNumber":
		return "SequenceNumber", true
	case "AWSTraceHeader":
		return "AWSTraceHeader", true
	case "DeadLetterQueueSourceArn":
		return "DeadLetterQueueSourceArn", true
	case "sluice-dedupe-id":
		return "sluice-dedupe-id", true
	case "String":
		return "String", true
	case "Number":
		return "Number", true
	case "Binary":
		return "Binary", true
	}
	if len(text) == 1 && text[0] >= '0' && text[0] <= '9' {
		const digits = "0123456789"
		i := text[0] - '0'
		return digits[i : i+1], true
	}
	return "", false
}

// items decodes a list. Each item is decoded in place by one.
func items[T any](d *decoder, already []T, one func(*T)) []T {
	if already != nil {
		d.fail()
		return already
	}
	out := make([]T, 0, maxEntries)
	d.list(func() {
		var zero T
		out = append(out, zero)
		one(&out[len(out)-1])
	})
	return out
}
