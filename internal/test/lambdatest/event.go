package lambdatest

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The document that Lambda makes of a receive's messages, as
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html shows it.
type (
	document struct {
		Records []record `json:"Records"`
	}

	record struct {
		MessageID         *string              `json:"messageId"`
		ReceiptHandle     *string              `json:"receiptHandle"`
		Body              *string              `json:"body"`
		Attributes        map[string]string    `json:"attributes"`
		MessageAttributes map[string]attribute `json:"messageAttributes"`
		MD5OfBody         *string              `json:"md5OfBody"`
		MD5OfAttributes   *string              `json:"md5OfMessageAttributes,omitempty"`
		EventSource       string               `json:"eventSource"`
		EventSourceARN    string               `json:"eventSourceARN"`
		Region            string               `json:"awsRegion"`
	}

	attribute struct {
		StringValue  *string  `json:"stringValue,omitempty"`
		BinaryValue  []byte   `json:"binaryValue,omitempty"`
		StringValues []string `json:"stringListValues"`
		BinaryValues [][]byte `json:"binaryListValues"`
		DataType     *string  `json:"dataType"`
	}
)

// Event returns the event of messages that were received from the queue with the
// ARN.
func Event(queueARN string, ms []types.Message) ([]byte, error) {
	region := ""
	if part := strings.Split(queueARN, ":"); len(part) > 3 {
		region = part[3]
	}
	d := document{Records: make([]record, len(ms))}
	for i := range ms {
		m := &ms[i]
		r := record{
			MessageID: m.MessageId, ReceiptHandle: m.ReceiptHandle, Body: m.Body,
			Attributes: m.Attributes, MessageAttributes: map[string]attribute{},
			MD5OfBody: m.MD5OfBody, MD5OfAttributes: m.MD5OfMessageAttributes,
			EventSource: "aws:sqs", EventSourceARN: queueARN, Region: region,
		}
		for name, v := range m.MessageAttributes {
			r.MessageAttributes[name] = attribute{
				StringValue: v.StringValue, BinaryValue: v.BinaryValue, DataType: v.DataType,
				StringValues: []string{}, BinaryValues: [][]byte{},
			}
		}
		d.Records[i] = r
	}
	return json.Marshal(d)
}
