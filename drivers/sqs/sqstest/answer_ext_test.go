package sqstest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

// The tests of this package cite their sources:
//
//   - validated: a test of LocalStack (tests/aws/services/sqs) that its authors
//     run against AWS, or its recording.
//   - moto: the server of that name, if it copies a text of AWS's.
//   - ballerina: a test of module-ballerinax-aws.sqs, which runs against AWS.
//   - guide: the developer guide or the API reference of SQS.

// call is a request whose answer is known.
type call struct {
	name   string
	source string
	do     func(c *caller) error
	code   string // none: it succeeds
	text   string
}

// caller makes requests on a standard queue, a FIFO queue without content-based
// deduplication, and one with it.
type caller struct {
	*env
	standard, fifo, content *string
}

func (c *caller) set(url *string, attributes ...string) error {
	_, err := c.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: pairs(attributes)})
	return err
}

func (c *caller) sendWith(url *string, f func(in *sqs.SendMessageInput)) error {
	in := &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")}
	f(in)
	_, err := c.SendMessage(bg, in)
	return err
}

func (c *caller) named(name string) error {
	return c.sendWith(c.standard, func(in *sqs.SendMessageInput) {
		in.MessageAttributes = map[string]types.MessageAttributeValue{name: stringAttribute("v")}
	})
}

// batch sends entries, each "group/dedupe ID", of which a - stands for none.
func (c *caller) batch(url *string, entries ...string) error {
	in := &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{}}
	for i, spec := range entries {
		entry := types.SendMessageBatchRequestEntry{Id: aws.String(string(rune('a' + i))), MessageBody: aws.String("body " + spec)}
		group, dedupe, _ := strings.Cut(spec, "/")
		if group != "-" {
			entry.MessageGroupId = &group
		}
		if dedupe != "-" {
			entry.MessageDeduplicationId = &dedupe
		}
		in.Entries = append(in.Entries, entry)
	}
	_, err := c.SendMessageBatch(bg, in)
	return err
}

func (c *caller) permit(accounts []string, actions ...string) error {
	_, err := c.AddPermission(bg, &sqs.AddPermissionInput{QueueUrl: c.standard, Label: aws.String("l"), AWSAccountIds: accounts, Actions: actions})
	return err
}

const (
	invalidValue  = "InvalidParameterValue"
	dedupeMissing = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)

func TestAnswers(t *testing.T) {
	account := []string{"668614515564"}
	tests := []call{
		{
			"names with letters beyond ASCII", "validated: test_send_message_with_invalid_string_attributes",
			func(c *caller) error { return c.named("attr.1øßä") }, "", "",
		},
		{
			"names with other characters", "the same", func(c *caller) error { return c.named("Invalid-§-attr") },
			invalidValue, "attribute name",
		},
		{
			"names that are not UTF-8 at all", "guide: letters", func(c *caller) error { return c.named("a\uFFFDb") },
			invalidValue, "attribute name",
		},
		{
			"batch with no deduplication ID", "validated: test_send_batch_missing_deduplication_id_for_fifo_queue",
			func(c *caller) error { return c.batch(c.fifo, "g/d", "g/-") }, invalidValue, dedupeMissing,
		},
		{
			"batch with an empty deduplication ID", "as above: it is not there", func(c *caller) error { return c.batch(c.fifo, "g/d", "g/") },
			invalidValue, dedupeMissing,
		},
		{
			"batch that needs no deduplication ID", "guide", func(c *caller) error { return c.batch(c.content, "g/d", "g/-") }, "", "",
		},
		{
			"batch with no group", "validated: test_send_batch_missing_message_group_id_for_fifo_queue",
			func(c *caller) error { return c.batch(c.fifo, "g/d", "-/e") }, invalidValue, "The request must contain the parameter MessageGroupId.",
		},
		{
			"batch with no group, content-based", "the same", func(c *caller) error { return c.batch(c.content, "g/d", "-/e") },
			invalidValue, "The request must contain the parameter MessageGroupId.",
		},
		{
			"message with no group", "validated: test_posting_to_fifo_requires_deduplicationid_group_id",
			func(c *caller) error {
				return c.sendWith(c.fifo, func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") })
			}, "MissingParameter", "The request must contain the parameter MessageGroupId.",
		},
		{
			"message with no deduplication ID", "the same",
			func(c *caller) error {
				return c.sendWith(c.fifo, func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("g") })
			}, invalidValue, dedupeMissing,
		},
		{
			"empty group on a standard queue", "guide: 1 to 128 characters",
			func(c *caller) error {
				return c.sendWith(c.standard, func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("") })
			}, invalidValue, "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
		},
		{
			"empty deduplication ID", "guide: 1 to 128 characters",
			func(c *caller) error {
				return c.sendWith(c.content, func(in *sqs.SendMessageInput) {
					in.MessageGroupId, in.MessageDeduplicationId = aws.String("g"), aws.String("")
				})
			}, invalidValue, "MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.",
		},
		{
			"group on a standard queue", "guide: fair queues",
			func(c *caller) error {
				return c.sendWith(c.standard, func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("tenant") })
			}, "", "",
		},
		{
			"name instead of a URL", "validated: test_posting_to_queue_via_queue_name",
			func(c *caller) error {
				_, err := c.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: aws.String("standard")})
				return err
			}, "", "",
		},
		{
			"attempt ID on a standard queue", "ballerina: testReceiveMessageWithAllOptionalConfigs",
			func(c *caller) error {
				_, err := c.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: c.standard, ReceiveRequestAttemptId: aws.String("attempt-001")})
				return err
			}, "", "",
		},
		{
			"queue as its own dead-letter queue", "validated: test_set_empty_redrive_policy",
			func(c *caller) error {
				return c.set(c.standard, "RedrivePolicy", `{"deadLetterTargetArn":"`+c.QueueARN("standard")+`","maxReceiveCount":"42"}`)
			}, "", "",
		},
		{
			"redrive policy taken away from a queue without one", "the same", func(c *caller) error { return c.set(c.standard, "RedrivePolicy", "") }, "", "",
		},
		{
			"target that is no ARN", "validated: test_invalid_dead_letter_arn_rejected_before_lookup",
			func(c *caller) error {
				return c.set(c.standard, "RedrivePolicy", `{"deadLetterTargetArn": "dummy", "maxReceiveCount": 42}`)
			}, invalidValue,
			`Value {"deadLetterTargetArn": "dummy", "maxReceiveCount": 42} for parameter RedrivePolicy is invalid. Reason: Invalid value for deadLetterTargetArn.`,
		},
		{
			"maxReceiveCount that is no number", "validated: test_redrive_policy_attribute_validity",
			func(c *caller) error {
				return c.set(c.standard, "RedrivePolicy", `{"deadLetterTargetArn":"`+c.QueueARN("standard")+`","maxReceiveCount":"invalid"}`)
			}, invalidValue, "Invalid value for maxReceiveCount: invalid, valid values are from 1 to 1000 both inclusive.",
		},
		{
			"both kinds of encryption", "validated: test_sse_kms_and_sqs_are_mutually_exclusive",
			func(c *caller) error {
				return c.set(c.standard, "KmsMasterKeyId", "testKeyId", "SqsManagedSseEnabled", "true")
			}, "InvalidAttributeName",
			"You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.",
		},
		{
			"FifoQueue on a standard queue", "validated: test_set_unsupported_attribute_fifo",
			func(c *caller) error { return c.set(c.standard, "FifoQueue", "true") }, "InvalidAttributeName", "Unknown Attribute FifoQueue.",
		},
		{"FifoQueue on a FIFO queue", "the same", func(c *caller) error { return c.set(c.fifo, "FifoQueue", "true") }, "", ""},
		{
			"FifoQueue false on a FIFO queue", "the same", func(c *caller) error { return c.set(c.fifo, "FifoQueue", "false") },
			"InvalidAttributeValue", "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
		},
		{
			"DelaySeconds beyond the limit", "ballerina: testSetQueueAttribuesWithInvalidDelay",
			func(c *caller) error { return c.set(c.standard, "DelaySeconds", "901") }, "InvalidAttributeValue",
			"Invalid value for the parameter DelaySeconds.",
		},
		{
			"delay of a message beyond the limit", "ballerina: testSendMessageWithExcessiveDelay",
			func(c *caller) error {
				return c.sendWith(c.standard, func(in *sqs.SendMessageInput) { in.DelaySeconds = 1000 })
			}, invalidValue, "Value 1000 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
		},
		{
			"delay of a message on a FIFO queue", "validated: test_fifo_queue_send_message_with_delay_seconds_fails",
			func(c *caller) error {
				return c.sendWith(c.content, func(in *sqs.SendMessageInput) { in.MessageGroupId, in.DelaySeconds = aws.String("g"), 2 })
			}, invalidValue, "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.",
		},
		{
			"type of an attribute", "ballerina: testSendMessageWithInvalidAttributes",
			func(c *caller) error {
				return c.sendWith(c.standard, func(in *sqs.SendMessageInput) {
					in.MessageAttributes = map[string]types.MessageAttributeValue{"invalidAttribute": {DataType: aws.String("InvalidType"), StringValue: aws.String("v")}}
				})
			}, invalidValue,
			"The type of message (user) attribute 'invalidAttribute' is invalid. You must use only the following supported type prefixes: Binary, Number, String.",
		},
		{
			"list of binary values", "guide: not implemented",
			func(c *caller) error {
				return c.sendWith(c.standard, func(in *sqs.SendMessageInput) {
					in.MessageAttributes = map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Binary"), BinaryListValues: [][]byte{{1}}}}
				})
			}, "AWS.SimpleQueueService.UnsupportedOperation", "not supported",
		},
		{
			"no entries to send", "moto, ballerina: testSendMessageBatchWithEmptyList", func(c *caller) error { return c.batch(c.standard) },
			"AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request.",
		},
		{
			"no entries to delete", "moto",
			func(c *caller) error {
				_, err := c.DeleteMessageBatch(bg, &sqs.DeleteMessageBatchInput{QueueUrl: c.standard, Entries: []types.DeleteMessageBatchRequestEntry{}})
				return err
			}, "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one DeleteMessageBatchRequestEntry in the request.",
		},
		{
			"no entries to change", "as above",
			func(c *caller) error {
				_, err := c.ChangeMessageVisibilityBatch(bg, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: c.standard, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{}})
				return err
			}, "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one ChangeMessageVisibilityBatchRequestEntry in the request.",
		},
		{
			"no tag keys", "moto",
			func(c *caller) error {
				_, err := c.UntagQueue(bg, &sqs.UntagQueueInput{QueueUrl: c.standard, TagKeys: []string{}})
				return err
			}, invalidValue, "Tag keys must be between 1 and 128 characters in length.",
		},
		{
			"no tags", "moto",
			func(c *caller) error {
				_, err := c.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: c.standard, Tags: map[string]string{}})
				return err
			}, "MissingParameter", "The request must contain the parameter Tags.",
		},
		{"no actions", "moto", func(c *caller) error { return c.permit(account, []string{}...) }, "MissingParameter", "The request must contain the parameter Actions."},
		{
			"no accounts", "moto", func(c *caller) error { return c.permit([]string{}, "SendMessage") },
			invalidValue, "Value [] for parameter PrincipalId is invalid. Reason: Unable to verify.",
		},
		{
			"action of the owner's", "moto", func(c *caller) error { return c.permit(account, "CreateQueue") },
			invalidValue, "Value SQS:CreateQueue for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.",
		},
		{
			"unknown action", "validated", func(c *caller) error { return c.permit(account, "EatMessage") },
			invalidValue, "Value SQS:EatMessage for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL for a list of valid actions.",
		},
		{
			"unknown permission", "validated: test_sqs_permission_lifecycle",
			func(c *caller) error {
				_, err := c.RemovePermission(bg, &sqs.RemovePermissionInput{QueueUrl: c.standard, Label: aws.String("none")})
				return err
			}, invalidValue, "Value none for parameter Label is invalid. Reason: can't find label.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := inProcess(t, nil)
			c := &caller{e, e.queue("standard"), e.fifo("plain.fifo"), e.fifo("content.fifo", "ContentBasedDeduplication", "true")}
			err := tt.do(c)
			requireCode(t, tt.code, err)
			if err == nil {
				return
			}
			var api smithy.APIError
			require.ErrorAs(t, err, &api)
			require.Contains(t, api.ErrorMessage(), tt.text)
			for _, url := range []*string{c.standard, c.fifo, c.content} {
				require.Equal(t, [3]int{}, e.counts(url), "a refused request sent something")
			}
		})
	}
}

// Validated: test_send_batch_message_size.
func TestTooLargeEntry(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders", "MaximumMessageSize", "1024")
	large := aws.String(strings.Repeat("a", 1025))
	out, err := e.SendMessageBatch(bg, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("a"), MessageBody: large}, {Id: aws.String("b"), MessageBody: aws.String("b")},
	}})
	require.NoError(t, err)
	require.Len(t, out.Successful, 1)
	require.Len(t, out.Failed, 1)
	require.Equal(t, []string{"a", invalidValue, "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."},
		[]string{*out.Failed[0].Id, *out.Failed[0].Code, *out.Failed[0].Message})
	require.True(t, out.Failed[0].SenderFault)
	_, err = e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: large})
	require.ErrorContains(t, err, "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.")
}

// Validated: test_sqs_permission_lifecycle. A list of one is its member, and an
// answer with no attributes has no member Attributes.
func TestPolicyShape(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	policy := func() (map[string]string, []map[string]any) {
		out, err := e.GetQueueAttributes(bg, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"Policy"}})
		require.NoError(t, err)
		var document struct{ Statement []map[string]any }
		if out.Attributes != nil {
			require.NoError(t, json.Unmarshal([]byte(out.Attributes["Policy"]), &document))
		}
		return out.Attributes, document.Statement
	}
	add := func(label string, accounts, actions []string) {
		_, err := e.AddPermission(bg, &sqs.AddPermissionInput{QueueUrl: url, Label: &label, AWSAccountIds: accounts, Actions: actions})
		require.NoError(t, err)
	}
	none, _ := policy()
	require.Nil(t, none)

	add("one", []string{"668614515564"}, []string{"ReceiveMessage"})
	add("two", []string{"668614515564", "111122223333"}, []string{"ReceiveMessage", "SendMessage"})
	_, statements := policy()
	require.Len(t, statements, 2)
	require.Equal(t, "SQS:ReceiveMessage", statements[0]["Action"])
	require.Equal(t, map[string]any{"AWS": "arn:aws:iam::668614515564:root"}, statements[0]["Principal"])
	require.Equal(t, []any{"SQS:ReceiveMessage", "SQS:SendMessage"}, statements[1]["Action"])
	require.Equal(t, map[string]any{"AWS": []any{"arn:aws:iam::668614515564:root", "arn:aws:iam::111122223333:root"}}, statements[1]["Principal"])

	for _, label := range []string{"one", "two"} {
		_, err := e.RemovePermission(bg, &sqs.RemovePermissionInput{QueueUrl: url, Label: &label})
		require.NoError(t, err)
	}
	none, _ = policy()
	require.Nil(t, none, "the last one takes the policy with it")
}
