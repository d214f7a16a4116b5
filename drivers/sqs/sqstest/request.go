package sqstest

import (
	"slices"
	"strings"
)

// The requests, one struct an action. queueRef returns the queue that a request
// concerns, as a URL, a name or an ARN, for faults and the request log.

type createQueueRequest struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string
	SDKTags    map[string]string `json:"tags"` // as the SDKs write it
}

func (q *createQueueRequest) queueRef() string { return q.QueueName }

func (q *createQueueRequest) tags() map[string]string {
	if q.SDKTags != nil {
		return q.SDKTags
	}
	return q.Tags
}

type getQueueURLRequest struct {
	QueueName              string
	QueueOwnerAWSAccountID string `json:"QueueOwnerAWSAccountId"`
}

func (q *getQueueURLRequest) queueRef() string { return q.QueueName }

// listRequest is ListQueues, ListDeadLetterSourceQueues and
// ListMessageMoveTasks.
type listRequest struct {
	QueueURL        string `json:"QueueUrl"`
	QueueNamePrefix string
	NextToken       string
	SourceARN       string `json:"SourceArn"`
	MaxResults      *int32
}

func (q *listRequest) queueRef() string { return q.QueueURL + q.SourceARN }

// queueRequest is every action on a queue that has at most names, attributes or
// tags besides.
type queueRequest struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
	TagKeys        []string
	Attributes     map[string]string
	Tags           map[string]string
}

func (q *queueRequest) queueRef() string { return q.QueueURL }

type permissionRequest struct {
	QueueURL   string `json:"QueueUrl"`
	Label      string
	AccountIDs []string `json:"AWSAccountIds"`
	Actions    []string
}

func (q *permissionRequest) queueRef() string { return q.QueueURL }

// outgoing is a message to send: the whole of SendMessage, or an entry.
type outgoing struct {
	ID                      string `json:"Id"`
	MessageBody             checkedText
	DelaySeconds            *int32
	MessageAttributes       attributes
	MessageSystemAttributes attributes
	MessageGroupID          *string `json:"MessageGroupId"`
	MessageDeduplicationID  *string `json:"MessageDeduplicationId"`
}

type sendRequest struct {
	QueueURL string `json:"QueueUrl"`
	outgoing
}

func (q *sendRequest) queueRef() string { return q.QueueURL }

type sendBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []outgoing
}

func (q *sendBatchRequest) queueRef() string { return q.QueueURL }
func (q *sendBatchRequest) size() int        { return len(q.Entries) }

type receiveRequest struct {
	QueueURL                    string `json:"QueueUrl"`
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int32
	VisibilityTimeout           *int32
	WaitTimeSeconds             *int32
	ReceiveRequestAttemptID     *string `json:"ReceiveRequestAttemptId"`
}

func (q *receiveRequest) queueRef() string { return q.QueueURL }

// system returns the names of system attributes, which have an old and a new
// parameter.
func (q *receiveRequest) system() []string {
	names := q.MessageSystemAttributeNames
	for _, name := range q.AttributeNames {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// delivery names a delivery to delete or to extend.
type delivery struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int32
}

type deliveryRequest struct {
	QueueURL string `json:"QueueUrl"`
	delivery
}

func (q *deliveryRequest) queueRef() string { return q.QueueURL }

type deliveryBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []delivery
}

func (q *deliveryBatchRequest) queueRef() string { return q.QueueURL }
func (q *deliveryBatchRequest) size() int        { return len(q.Entries) }

type startMoveRequest struct {
	SourceARN                    string `json:"SourceArn"`
	DestinationARN               string `json:"DestinationArn"`
	MaxNumberOfMessagesPerSecond *int32
}

func (q *startMoveRequest) queueRef() string { return q.SourceARN }

type cancelMoveRequest struct{ TaskHandle string }

func (q *cancelMoveRequest) queueRef() string {
	_, source, _ := decodeTaskHandle(q.TaskHandle)
	return source
}

// queueName takes the name from a queue's URL, ARN or bare name.
func queueName(ref string) string {
	ref = strings.TrimSuffix(ref, "/")
	if strings.HasPrefix(ref, "arn:") {
		return ref[strings.LastIndexByte(ref, ':')+1:]
	}
	return ref[strings.LastIndexByte(ref, '/')+1:]
}
