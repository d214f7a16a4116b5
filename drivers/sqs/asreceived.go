package sqs

import (
	"encoding/base64"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
)

// asReceived is a message's attributes as SQS delivered them. It goes with the
// message as its [handler.Message.Native], so that a copy that is sent to SQS has
// the types of those that nobody has changed. It is not written to.
type asReceived map[string]types.MessageAttributeValue

// receivedWith returns the attributes that m was received with. They are nil for
// one that did not come from SQS.
func receivedWith(m *handler.Message) asReceived {
	as, _ := m.Native().(asReceived)
	return as
}

// unchanged returns the attribute as it was received, if value is still its text.
func (r asReceived) unchanged(name, value string) (types.MessageAttributeValue, bool) {
	v, ok := r[name]
	if !ok || own(name) || text(v) != value {
		return types.MessageAttributeValue{}, false
	}
	return v, true
}

// full returns as without what Sluice has added, and true, if the rest is as many
// attributes as SQS takes, each as another client sent it.
func (r asReceived) full(as map[string]string) (map[string]string, bool) {
	if len(r) < maxNames {
		return as, false
	}
	rest := make(map[string]string, len(as))
	n := 0
	for name, value := range as {
		if dispensable(name) {
			continue
		}
		rest[name] = value
		if name == traceHeader && sendable(value) {
			continue // it is none of the ten
		}
		if _, ok := r.unchanged(name, value); !ok {
			return as, false
		}
		n++
	}
	return rest, n == maxNames
}

// dispensable is true for the attributes that Sluice adds to what it sends again:
// why a letter is one, and how often it was redriven.
func dispensable(name string) bool {
	return name == drivers.AttributeDeadLetter || strings.HasPrefix(name, drivers.AttributeDeadLetter+"-") ||
		name == drivers.AttributeRedriveCount || name == drivers.AttributeRedriveHistory
}

// restored adds to r the attributes whose types are in kinds: they were packed,
// and their texts are in as. It returns r itself if there are none.
func (r asReceived) restored(kinds, as map[string]string) asReceived {
	out := r
	for name, kind := range kinds {
		if _, taken := r[name]; taken {
			continue // it is not the one that was packed
		}
		value, ok := as[name]
		if !ok {
			continue
		}
		v := types.MessageAttributeValue{DataType: aws.String(kind)}
		if isBinary(kind) {
			b, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				continue
			}
			v.BinaryValue = b
		} else {
			v.StringValue = aws.String(value)
		}
		if len(out) == len(r) {
			out = maps.Clone(r)
		}
		if out == nil {
			out = make(asReceived, len(kinds))
		}
		out[name] = v
	}
	return out
}

// text is the value of an attribute of any type.
func text(v types.MessageAttributeValue) string {
	if isBinary(deref(v.DataType)) {
		return base64.StdEncoding.EncodeToString(v.BinaryValue)
	}
	return deref(v.StringValue)
}

func isBinary(kind string) bool { return strings.HasPrefix(kind, "Binary") }
