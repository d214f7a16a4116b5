package sqs

import (
	"fmt"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/drivers"
)

// The system attributes of a received message.
const (
	sysReceives = string(types.MessageSystemAttributeNameApproximateReceiveCount)
	sysSent     = string(types.MessageSystemAttributeNameSentTimestamp)
	sysGroup    = string(types.MessageSystemAttributeNameMessageGroupId)
	sysDedupe   = string(types.MessageSystemAttributeNameMessageDeduplicationId)
	sysOrigin   = string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)
)

// systemNames are the names of the system attributes that a receive requests. A
// receive sends them in both of SQS's forms: some other servers know only
// AttributeNames, and answer the newer form with messages that have neither
// attempt nor group.
type systemNames struct {
	names []types.MessageSystemAttributeName
	older []types.QueueAttributeName
}

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

// ask makes in request the attributes.
func (s systemNames) ask(in *awssqs.ReceiveMessageInput) {
	in.MessageSystemAttributeNames, in.AttributeNames = s.names, s.older //nolint:staticcheck // the older form, on purpose
}

// ungrouped returns an error if q is a FIFO queue and one of the messages has no
// group. Without groups, messages of one group would be handled concurrently.
func ungrouped(q *queue, op string, from []types.Message) error {
	if !q.fifo {
		return nil
	}
	for i := range from {
		if from[i].Attributes[sysGroup] == "" {
			return &drivers.Error{Code: drivers.Unsupported, Queue: q.name, Op: op,
				Err:    fmt.Errorf("the server returns message %s of a FIFO queue without its MessageGroupId: the order of groups cannot be kept", deref(from[i].MessageId)),
				Remedy: "use a server that answers MessageSystemAttributeNames or AttributeNames, or a standard queue"}
		}
	}
	return nil
}
