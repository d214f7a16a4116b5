package sqstest_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
)

func TestCreateQueue(t *testing.T) {
	e := inProcess(t, nil)
	e.queue("dlq")
	e.fifo("dlq.fifo")
	e.queue("there", "VisibilityTimeout", "60")
	const invalid = "InvalidParameterValue"
	tests := []struct {
		name, queue string
		attributes  []string
		code        string
	}{
		{"plain", "orders", nil, ""},
		{"all word characters", "Az09-_", nil, ""},
		{"longest name", strings.Repeat("q", 80), nil, ""},
		{"fifo", "orders.fifo", []string{"FifoQueue", "true", "ContentBasedDeduplication", "true"}, ""},
		{"fifo with a long name", strings.Repeat("q", 75) + ".fifo", []string{"FifoQueue", "True"}, ""},
		{"high throughput", "ht.fifo", []string{"FifoQueue", "true", "DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId"}, ""},
		{"every attribute", "full", []string{"DelaySeconds", "900", "MaximumMessageSize", "1024", "MessageRetentionPeriod", "60", "ReceiveMessageWaitTimeSeconds", "20", "VisibilityTimeout", "43200", "Policy", `{"Version":"2012-10-17","Statement":[]}`, "RedrivePolicy", e.redrive("dlq", 5), "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`, "KmsMasterKeyId", "alias/x", "KmsDataKeyReusePeriodSeconds", "60"}, ""},
		{"again, the same", "there", []string{"VisibilityTimeout", "60"}, ""},
		{"again, nothing said", "there", nil, ""},
		{"again, an initial value said", "there", []string{"DelaySeconds", "0"}, ""},
		{"again, otherwise", "there", []string{"VisibilityTimeout", "61"}, "QueueAlreadyExists"},
		{"no name", "", nil, "MissingParameter"},
		{"name too long", strings.Repeat("q", 81), nil, invalid},
		{"bad character", "a/b", nil, invalid},
		{"a period", "a.b", nil, invalid},
		{"fifo name without the attribute", "x.fifo", nil, invalid},
		{"fifo attribute without the name", "x", []string{"FifoQueue", "true"}, invalid},
		{"fifo name too long", strings.Repeat("q", 76) + ".fifo", []string{"FifoQueue", "true"}, invalid},
		{"FifoQueue false", "x", []string{"FifoQueue", "false"}, "InvalidAttributeName"},
		{"unknown attribute", "x", []string{"Colour", "red"}, "InvalidAttributeName"},
		{"read-only attribute", "x", []string{"QueueArn", "arn"}, "InvalidAttributeName"},
		{"fifo attribute on a standard queue", "x", []string{"DeduplicationScope", "queue"}, "InvalidAttributeName"},
		{"delay out of range", "x", []string{"DelaySeconds", "901"}, "InvalidAttributeValue"},
		{"size out of range", "x", []string{"MaximumMessageSize", "1048577"}, "InvalidAttributeValue"},
		{"retention out of range", "x", []string{"MessageRetentionPeriod", "59"}, "InvalidAttributeValue"},
		{"wait out of range", "x", []string{"ReceiveMessageWaitTimeSeconds", "21"}, "InvalidAttributeValue"},
		{"visibility out of range", "x", []string{"VisibilityTimeout", "43201"}, "InvalidAttributeValue"},
		{"no number", "x", []string{"DelaySeconds", "soon"}, "InvalidAttributeValue"},
		{"no boolean", "x.fifo", []string{"FifoQueue", "true", "ContentBasedDeduplication", "1"}, "InvalidAttributeValue"},
		{"no such choice", "x.fifo", []string{"FifoQueue", "true", "DeduplicationScope", "world"}, "InvalidAttributeValue"},
		{"throughput limit without its scope", "x.fifo", []string{"FifoQueue", "true", "FifoThroughputLimit", "perMessageGroupId"}, "InvalidAttributeValue"},
		{"two kinds of encryption", "x", []string{"KmsMasterKeyId", "k", "SqsManagedSseEnabled", "true"}, "InvalidAttributeName"},
		{"policy that is no JSON", "x", []string{"Policy", "{"}, "InvalidAttributeValue"},
		{"no such dead-letter queue", "x", []string{"RedrivePolicy", e.redrive("nowhere", 5)}, invalid},
		{"itself", "x", []string{"RedrivePolicy", e.redrive("x", 5)}, invalid},
		{"dead-letter queue of the other kind", "x", []string{"RedrivePolicy", e.redrive("dlq.fifo", 5)}, invalid},
		{"dead-letter queue of the other kind, fifo", "x.fifo", []string{"FifoQueue", "true", "RedrivePolicy", e.redrive("dlq", 5)}, invalid},
		{"dead-letter queue elsewhere", "x", []string{"RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dlq","maxReceiveCount":1}`}, invalid},
		{"maxReceiveCount 0", "x", []string{"RedrivePolicy", e.redrive("dlq", 0)}, invalid},
		{"maxReceiveCount 1001", "x", []string{"RedrivePolicy", e.redrive("dlq", 1001)}, invalid},
		{"no maxReceiveCount", "x", []string{"RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q}`, e.QueueARN("dlq"))}, invalid},
		{"no target", "x", []string{"RedrivePolicy", `{"maxReceiveCount":1}`}, invalid},
		{"unknown member", "x", []string{"RedrivePolicy", `{"maxReceives":1}`}, invalid},
		{"target that is no text", "x", []string{"RedrivePolicy", `{"deadLetterTargetArn":1,"maxReceiveCount":1}`}, invalid},
		{"allow policy without permission", "x", []string{"RedriveAllowPolicy", `{}`}, invalid},
		{"allow policy by no queue", "x", []string{"RedriveAllowPolicy", `{"redrivePermission":"byQueue"}`}, invalid},
		{"allow policy for all with sources", "x", []string{"RedriveAllowPolicy", `{"redrivePermission":"allowAll","sourceQueueArns":["a"]}`}, invalid},
		{"allow policy with an unknown member", "x", []string{"RedriveAllowPolicy", `{"redrivePermission":"allowAll","x":1}`}, invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := e.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: &tt.queue, Attributes: pairs(tt.attributes)})
			requireCode(t, tt.code, err)
			if tt.code == "" {
				require.Equal(t, e.QueueURL(tt.queue), *out.QueueUrl)
			}
		})
	}
	_, err := e.GetQueueUrl(bg, &sqs.GetQueueUrlInput{QueueName: aws.String("x")})
	require.True(t, isType[*types.QueueDoesNotExist](err), "a refused queue was made: %v", err)
	_, err = e.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: aws.String("there"), Attributes: map[string]string{"DelaySeconds": "1"}})
	require.True(t, isType[*types.QueueNameExists](err))
}

func TestQueueAttributes(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock, Region: "eu-west-1", AccountID: "123456789012"})
	url := e.queue("orders")
	seconds := strconv.FormatInt(start().Unix(), 10)
	require.Equal(t, map[string]string{
		"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0", "ApproximateNumberOfMessagesDelayed": "0",
		"CreatedTimestamp": seconds, "LastModifiedTimestamp": seconds, "QueueArn": "arn:aws:sqs:eu-west-1:123456789012:orders",
		"VisibilityTimeout": "30", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0", "MessageRetentionPeriod": "345600",
		"MaximumMessageSize": "1048576", "SqsManagedSseEnabled": "true",
	}, e.attributes(url))
	fifo := e.attributes(e.fifo("orders.fifo"))
	for name, want := range map[string]string{
		"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
	} {
		require.Equal(t, want, fifo[name], name)
	}

	clock.Advance(time.Hour)
	set := func(attributes ...string) error {
		_, err := e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: pairs(attributes)})
		return err
	}
	require.NoError(t, set("VisibilityTimeout", "0", "KmsMasterKeyId", "alias/k"))
	a := e.attributes(url)
	require.Equal(t, "0", a["VisibilityTimeout"])
	require.Equal(t, "false", a["SqsManagedSseEnabled"])
	require.Equal(t, "alias/k", a["KmsMasterKeyId"])
	require.Equal(t, "300", a["KmsDataKeyReusePeriodSeconds"])
	require.Equal(t, seconds, a["CreatedTimestamp"])
	require.Equal(t, strconv.FormatInt(start().Add(time.Hour).Unix(), 10), a["LastModifiedTimestamp"])

	require.NoError(t, set("SqsManagedSseEnabled", "true"))
	require.NotContains(t, e.attributes(url), "KmsMasterKeyId")

	e.queue("dlq")
	require.NoError(t, set("RedrivePolicy", e.redrive("dlq", 3), "Policy", `{"Statement":[]}`))
	require.Equal(t, e.redrive("dlq", 3), e.attributes(url)["RedrivePolicy"])
	require.NoError(t, set("RedrivePolicy", "", "Policy", ""))
	require.NotContains(t, e.attributes(url), "RedrivePolicy")
	require.NotContains(t, e.attributes(url), "Policy")

	requireCode(t, "InvalidAttributeName", set("FifoQueue", "true"))
	requireCode(t, "InvalidAttributeName", set("ApproximateNumberOfMessages", "7"))
	requireCode(t, "InvalidAttributeValue", set("DelaySeconds", "-1"))
	requireCode(t, "InvalidParameterValue", set("RedrivePolicy", e.redrive("nowhere", 3)))
	require.Equal(t, "0", e.attributes(url)["DelaySeconds"], "a refused change was made")

	some, err := e.GetQueueAttributes(bg, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"QueueArn", "DelaySeconds", "FifoQueue"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"QueueArn": e.QueueARN("orders"), "DelaySeconds": "0"}, some.Attributes)
	none, err := e.GetQueueAttributes(bg, &sqs.GetQueueAttributesInput{QueueUrl: url})
	require.NoError(t, err)
	require.Empty(t, none.Attributes)
	_, err = e.GetQueueAttributes(bg, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"Colour"}})
	requireCode(t, "InvalidAttributeName", err)
}

func TestFifoQueueStaysOne(t *testing.T) {
	e := inProcess(t, nil)
	url := e.fifo("a.fifo")
	_, err := e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"FifoQueue": "false"}})
	requireCode(t, "InvalidAttributeValue", err)
	e.set(url, "FifoQueue", "true")
	_, err = e.SetQueueAttributes(bg, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"ContentBasedDeduplication": "true"}})
	require.NoError(t, err)
	require.Equal(t, "true", e.attributes(url)["ContentBasedDeduplication"])
}

func TestListQueues(t *testing.T) {
	e := inProcess(t, nil)
	var want []string
	for i := range 7 {
		want = append(want, *e.queue(fmt.Sprintf("a-%d", i)))
	}
	e.queue("b-0")
	all, err := e.Client.ListQueues(bg, &sqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Len(t, all.QueueUrls, 8)
	require.Nil(t, all.NextToken)

	var got []string
	pages := sqs.NewListQueuesPaginator(e.Client, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("a-"), MaxResults: aws.Int32(3)})
	n := 0
	for ; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(bg)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.QueueUrls), 3)
		got = append(got, page.QueueUrls...)
	}
	require.Equal(t, 3, n)
	require.Equal(t, want, got)

	for _, max := range []int32{0, 1001} {
		_, err = e.Client.ListQueues(bg, &sqs.ListQueuesInput{MaxResults: &max})
		requireCode(t, "InvalidParameterValue", err)
	}
	_, err = e.Client.ListQueues(bg, &sqs.ListQueuesInput{NextToken: aws.String("!")})
	requireCode(t, "InvalidParameterValue", err)
}

func TestQueueURLs(t *testing.T) {
	e := inProcess(t, nil)
	e.queue("orders")
	got, err := e.GetQueueUrl(bg, &sqs.GetQueueUrlInput{QueueName: aws.String("orders")})
	require.NoError(t, err)
	require.Equal(t, e.QueueURL("orders"), *got.QueueUrl)
	for _, url := range []string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "http://localhost:4566/queue/us-east-1/000000000000/orders",
		"http://localhost:1/000000000000/orders/", "000000000000/orders", "orders",
	} {
		e.send(&url, "x")
	}
	for url, code := range map[string]string{
		"http://localhost/000000000000/nothing": "AWS.SimpleQueueService.NonExistentQueue",
		"":                                      "MissingParameter",
		"/":                                     "InvalidAddress",
	} {
		_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
		requireCode(t, code, err)
	}
	_, err = e.GetQueueUrl(bg, &sqs.GetQueueUrlInput{QueueName: aws.String("")})
	requireCode(t, "MissingParameter", err)
}

func TestAccountIsCheckedWhereItIsConfigured(t *testing.T) {
	e := inProcess(t, &sqstest.Config{AccountID: "123456789012"})
	e.queue("orders")
	e.send(aws.String("http://anywhere/123456789012/orders"), "x")
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: aws.String("http://anywhere/999999999999/orders"), MessageBody: aws.String("x")})
	require.True(t, isType[*types.QueueDoesNotExist](err), "%v", err)
	_, err = e.GetQueueUrl(bg, &sqs.GetQueueUrlInput{QueueName: aws.String("orders"), QueueOwnerAWSAccountId: aws.String("999999999999")})
	require.True(t, isType[*types.QueueDoesNotExist](err), "%v", err)
	_, err = e.GetQueueUrl(bg, &sqs.GetQueueUrlInput{QueueName: aws.String("orders"), QueueOwnerAWSAccountId: aws.String("123456789012")})
	require.NoError(t, err)
}

func TestTags(t *testing.T) {
	e := inProcess(t, nil)
	out, err := e.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: aws.String("orders"), Tags: map[string]string{"team": "a", "env": "dev"}})
	require.NoError(t, err)
	url := out.QueueUrl
	tags := func() map[string]string {
		t.Helper()
		out, err := e.ListQueueTags(bg, &sqs.ListQueueTagsInput{QueueUrl: url})
		require.NoError(t, err)
		return out.Tags
	}
	require.Equal(t, map[string]string{"team": "a", "env": "dev"}, tags())
	_, err = e.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"team": "b", "größe": ""}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "b", "env": "dev", "größe": ""}, tags())
	_, err = e.UntagQueue(bg, &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"team", "größe", "nothing"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"env": "dev"}, tags())
	require.Equal(t, "30", e.attributes(url)["VisibilityTimeout"])

	many := map[string]string{}
	for i := range 50 {
		many[strconv.Itoa(i)] = "x"
	}
	bad := []map[string]string{many, {"": "x"}, {strings.Repeat("k", 129): "x"}, {"k": strings.Repeat("v", 257)}}
	for _, tags := range bad {
		_, err = e.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: url, Tags: tags})
		requireCode(t, "InvalidParameterValue", err)
	}
	_, err = e.TagQueue(bg, &sqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{}})
	requireCode(t, "MissingParameter", err)
	_, err = e.UntagQueue(bg, &sqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{}})
	requireCode(t, "InvalidParameterValue", err)
	require.Equal(t, map[string]string{"env": "dev"}, tags())
}

func TestPermissions(t *testing.T) {
	e := inProcess(t, nil)
	url := e.queue("orders")
	add := func(label string, actions ...string) error {
		_, err := e.AddPermission(bg, &sqs.AddPermissionInput{QueueUrl: url, Label: &label, AWSAccountIds: []string{"111122223333"}, Actions: actions})
		return err
	}
	remove := func(label string) error {
		_, err := e.RemovePermission(bg, &sqs.RemovePermissionInput{QueueUrl: url, Label: &label})
		return err
	}
	require.NoError(t, add("first", "SendMessage"))
	require.NoError(t, add("second", "*"))
	policy := e.attributes(url)["Policy"]
	require.Contains(t, policy, `"Sid":"first"`)
	require.Contains(t, policy, `"SQS:SendMessage"`)
	require.Contains(t, policy, "arn:aws:iam::111122223333:root")
	requireCode(t, "InvalidParameterValue", add("first", "SendMessage"))
	requireCode(t, "InvalidParameterValue", add("third", "Explode"))
	requireCode(t, "OverLimit", add("third", slices.Repeat([]string{"SendMessage"}, 8)...))
	requireCode(t, "InvalidParameterValue", remove("third"))
	require.NoError(t, remove("first"))
	require.NotContains(t, e.attributes(url)["Policy"], "first")
	require.NoError(t, remove("second"))
	require.NotContains(t, e.attributes(url), "Policy")
}

func TestPurgeQueue(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock})
	url := e.queue("orders")
	e.send(url, "seen")
	e.one(url)
	e.send(url, "waiting")
	_, err := e.SendMessage(bg, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("late"), DelaySeconds: 60})
	require.NoError(t, err)
	require.Equal(t, [3]int{1, 1, 1}, e.counts(url))
	purge := func() error {
		_, err := e.Client.PurgeQueue(bg, &sqs.PurgeQueueInput{QueueUrl: url})
		return err
	}
	require.NoError(t, purge())
	require.Equal(t, [3]int{0, 0, 0}, e.counts(url))
	clock.Advance(59 * time.Second)
	err = purge()
	requireCode(t, "AWS.SimpleQueueService.PurgeQueueInProgress", err)
	require.True(t, isType[*types.PurgeQueueInProgress](err))
	clock.Advance(time.Second)
	require.NoError(t, purge())
}

func TestDeleteQueue(t *testing.T) {
	clock := manual()
	e := inProcess(t, &sqstest.Config{Clock: clock, RecreateDelay: time.Minute})
	url := e.queue("orders", "VisibilityTimeout", "60")
	e.send(url, "x")
	_, err := e.DeleteQueue(bg, &sqs.DeleteQueueInput{QueueUrl: url})
	require.NoError(t, err)
	_, err = e.DeleteQueue(bg, &sqs.DeleteQueueInput{QueueUrl: url})
	require.True(t, isType[*types.QueueDoesNotExist](err), "%v", err)
	_, err = e.ReceiveMessage(bg, &sqs.ReceiveMessageInput{QueueUrl: url})
	require.True(t, isType[*types.QueueDoesNotExist](err), "%v", err)
	create := func() error {
		_, err := e.CreateQueue(bg, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
		return err
	}
	clock.Advance(59 * time.Second)
	err = create()
	requireCode(t, "AWS.SimpleQueueService.QueueDeletedRecently", err)
	require.True(t, isType[*types.QueueDeletedRecently](err))
	clock.Advance(time.Second)
	require.NoError(t, create())
	require.Equal(t, "30", e.attributes(url)["VisibilityTimeout"], "the new queue is the old one")
	require.Empty(t, e.receive(url))
}

func TestConfigFaultsAreAllNamed(t *testing.T) {
	_, err := sqstest.New(&sqstest.Config{AccountID: "1", Region: "a b", MaxInFlight: -1, RecreateDelay: -1, KeepRequests: -1})
	require.Error(t, err)
	for _, field := range []string{"AccountID", "Region", "MaxInFlight", "RecreateDelay", "KeepRequests"} {
		require.ErrorContains(t, err, field)
	}
	_, err = sqstest.NewServer(&sqstest.Config{Addr: "256.0.0.1:http"})
	require.ErrorContains(t, err, "256.0.0.1")
}
