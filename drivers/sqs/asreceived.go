package sqs

import (
	"encoding/base64"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/deadletter"
	"github.com/sluice-go/sluice/handler"
)

// asReceived is a message's attributes as SQS delivered them. It travels with the
// message as its [handler.Message.Native], so that a copy that is sent to SQS keeps
// the types of unchanged attributes. It is immutable.
type asReceived map[string]types.MessageAttributeValue

// receivedWith returns the attributes with which m was received, or nil if m did not
// come from SQS.
func receivedWith(m *handler.Message) asReceived {
	as, _ := m.Native().(asReceived)
	return as
}

// unchanged returns the attribute as it was received, and true, if value is still
// its text.
func (r asReceived) unchanged(name, value string) (types.MessageAttributeValue, bool) {
	v, ok := r[name]
	if !ok || own(name) || text(v) != value {
		return types.MessageAttributeValue{}, false
	}
	return v, true
}

// full returns as without the attributes that Sluice has added, and true, if the rest
// are as many attributes as SQS accepts, each as another client sent it.
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
			continue // it does not count among the ten
		}
		if _, ok := r.unchanged(name, value); !ok {
			return as, false
		}
		n++
	}
	return rest, n == maxNames
}

// dispensable reports whether name is an attribute that Sluice adds to a message
// that it sends again: the reason of a failure or the number of redrives.
func dispensable(name string) bool {
	return name == drivers.AttributeDeadLetter || strings.HasPrefix(name, drivers.AttributeDeadLetter+"-") ||
		name == deadletter.AttributeRedriveCount || name == deadletter.AttributeRedriveHistory
}

// restored returns r with the packed attributes whose types are in kinds and whose
// texts are in as. It returns r itself if there are none.
func (r asReceived) restored(kinds, as map[string]string) asReceived {
	out := r
	for name, kind := range kinds {
		if _, taken := r[name]; taken {
			continue // not the packed attribute
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

// text returns the value of an attribute of any type.
func text(v types.MessageAttributeValue) string {
	if isBinary(deref(v.DataType)) {
		return base64.StdEncoding.EncodeToString(v.BinaryValue)
	}
	return deref(v.StringValue)
}

func isBinary(kind string) bool { return strings.HasPrefix(kind, "Binary") }
