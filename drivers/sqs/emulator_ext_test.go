package sqs_test

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin"
	"github.com/sluice-go/sluice/admin/redrive"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/drivers/sqs"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// lacking makes a server refuse what has the text in its request, as f says.
func lacking(s *sqstest.Server, text string, f sqstest.Fault) *sqstest.Injection {
	f.Match = func(q *sqstest.Request) bool {
		return (q.Action == "CreateQueue" || q.Action == "SetQueueAttributes" || q.Action == "TagQueue") && bytes.Contains(q.Body, []byte(text))
	}
	return s.Inject(f)
}

// unknown are the ways in which servers say that they do not know an attribute.
func unknown() map[string]sqstest.Fault {
	return map[string]sqstest.Fault{
		"by the attribute's name": {Code: "InvalidAttributeName", Message: "The attribute is invalid."},
		"as an operation":         {Code: "UnsupportedOperation"},
		"as a parameter":          {Code: "InvalidParameterValueException", Message: "Unknown attribute."},
		"by its status":           {Code: "InternalFailure", Status: http.StatusNotImplemented},
	}
}

// An attribute that the server does not know does not keep the others from being
// set, and apply says which it is.
func TestApplyGoesOnWithoutWhatTheServerLacks(t *testing.T) {
	t.Parallel()
	testserver.Credentials(t)
	wished := func(kms bool) provision.Spec {
		s := spec()
		if kms {
			s.KMSKey = "alias/sluice"
		}
		return s
	}
	tests := []struct {
		name string // as the request has it
		kms  bool
		on   []string // resources of which it is a part
	}{
		{"ReceiveMessageWaitTimeSeconds", false, []string{"orders-dlq", "orders"}},
		{"VisibilityTimeout", false, []string{"orders"}},
		{"MessageRetentionPeriod", false, []string{"orders-dlq", "orders"}},
		{"SqsManagedSseEnabled", false, []string{"orders-dlq", "orders"}},
		{"KmsMasterKeyId", true, []string{"orders-dlq", "orders"}},
		{"RedrivePolicy", false, []string{"orders"}},
		{"RedriveAllowPolicy", false, []string{"orders-dlq"}},
		{"tags", false, []string{"orders-dlq", "orders"}},
	}
	for _, tt := range tests {
		for words, fault := range unknown() {
			t.Run(tt.name+" "+words, func(t *testing.T) {
				t.Parallel()
				s, err := sqstest.NewServer(nil)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				o, u := &sqs.Opener{}, mustURL(t, s.URL(), "orders")
				text := `"` + tt.name + `":`
				if tt.name == "tags" {
					fault.Code, text = "UnknownOperationException", `ags":{`
				}
				injected := lacking(s, text, fault)

				done, err := applyTo(t, o, u, wished(tt.kms), false)
				require.NoError(t, err)
				require.Positive(t, injected.Hits())
				var on []string
				for _, c := range done {
					if c.LeftOut != "" {
						require.Contains(t, c.LeftOut, tt.name+": ")
						on = append(on, c.Resource[len("sqs queue "):])
					}
					require.Equal(t, c.Field == "" || c.LeftOut == "", c.Applied, "a queue is made all the same: %+v", c)
				}
				require.Equal(t, tt.on, on)

				// The others are as on a server that lacks nothing.
				whole, err := sqstest.NewServer(nil)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, whole.Close()) })
				_, err = applyTo(t, o, mustURL(t, whole.URL(), "orders"), wished(tt.kms), false)
				require.NoError(t, err)
				for _, name := range []string{"orders", "orders-dlq"} {
					want, got := attributesOf(t, whole.URL(), name), attributesOf(t, s.URL(), name)
					for _, a := range []map[string]string{want, got} {
						maps.DeleteFunc(a, func(k, _ string) bool {
							return k == tt.name || k == "CreatedTimestamp" || k == "LastModifiedTimestamp" ||
								tt.kms && k == "SqsManagedSseEnabled" || tt.kms && k == "KmsDataKeyReusePeriodSeconds"
						})
					}
					require.Equal(t, want, got)
				}

				// Once the server has learned it, apply makes the rest.
				injected.Remove()
				_, err = applyTo(t, o, u, wished(tt.kms), true)
				require.NoError(t, err)
				rest, err := planOf(t, o, u, wished(tt.kms))
				require.NoError(t, err)
				require.Empty(t, rest)
			})
		}
	}
}

// On a queue that exists each change is left out by itself.
func TestApplyChangesTheOthers(t *testing.T) {
	s := server(t, nil, "")
	o, u, wish := &sqs.Opener{}, mustURL(t, s.URL(), "orders"), spec()
	lacking(s, `"VisibilityTimeout":`, sqstest.Fault{Code: "InvalidAttributeName"})
	lacking(s, `"RedriveAllowPolicy":`, sqstest.Fault{Code: "InvalidAttributeName"})
	lacking(s, `"Tags":`, sqstest.Fault{Code: "UnknownOperationException"})
	done, err := applyTo(t, o, u, wish, false)
	require.NoError(t, err)
	left := map[string]bool{}
	for _, c := range done {
		require.NotEqual(t, c.Applied, c.LeftOut != "", "%+v", c)
		left[c.Field] = left[c.Field] || c.LeftOut != ""
	}
	require.Equal(t, map[string]bool{
		"visibility_timeout": true, "redrive_allow_policy": true, "tags.team": true, "receive_wait": false, "retention": false,
	}, left)
	require.Equal(t, "20", attributesOf(t, s.URL(), "orders")["ReceiveMessageWaitTimeSeconds"])
}

// A value that the server refuses is a fault, and no lack.
func TestRefusedValuesFailApply(t *testing.T) {
	for code, want := range map[string]error{
		"InvalidAttributeValue": drivers.ErrInvalid, "InvalidParameterValueException": drivers.ErrInvalid,
		"AccessDeniedException": drivers.ErrDenied, "InternalFailure": drivers.ErrTransient,
	} {
		s := server(t, nil, "")
		lacking(s, `"VisibilityTimeout":`, sqstest.Fault{Code: code})
		_, err := applyTo(t, &sqs.Opener{}, mustURL(t, s.URL(), "orders"), spec(), false)
		require.ErrorIs(t, err, want, code)
	}
}

// A server that cannot list a dead-letter queue's sources, or has no move tasks,
// redrives all the same.
func TestRedriveOnServersThatLackIt(t *testing.T) {
	t.Parallel()
	for action, mode := range map[string]redrive.Mode{
		"ListDeadLetterSourceQueues": redrive.Native, "StartMessageMoveTask": redrive.Selective,
	} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			s := server(t, nil, "")
			fault := s.Inject(sqstest.Fault{Action: action, Code: "UnknownOperationException"})
			api := client(t, s.URL())
			_, err := api.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: aws.String(s.QueueURL("orders-dlq")), MessageBody: aws.String("letter")})
			require.NoError(t, err)
			src, err := (&sqs.Opener{}).OpenSource(t.Context(), mustURL(t, s.URL(), "orders"), nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, src.Close()) }()
			result, err := redrive.Run(t.Context(), src, nil)
			require.NoError(t, err)
			require.Positive(t, fault.Hits())
			require.Equal(t, mode, result.Mode)
			got, err := api.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: aws.String(s.QueueURL("orders"))})
			require.NoError(t, err)
			require.Len(t, got.Messages, 1)
		})
	}
}

// ElasticMQ knows no policy of allowance, and reports neither retention nor
// encryption: apply leaves out the properties that it does not report.
func TestProvisionOnElasticMQ(t *testing.T) {
	t.Parallel()
	testserver.Credentials(t)
	endpoint := testserver.ElasticMQ(t).URL
	name := testserver.Name(t)
	o, wish := &sqs.Opener{}, spec()
	u := mustURL(t, endpoint, name)
	done, err := applyTo(t, o, u, wish, false)
	require.NoError(t, err)
	require.Equal(t, []string{"create " + name + "-dlq", "update " + name + "-dlq redrive_allow_policy", "create " + name}, fields(done))
	require.Equal(t, []bool{true, false, true}, []bool{done[0].Applied, done[1].Applied, done[2].Applied})
	require.Contains(t, done[1].LeftOut, "RedriveAllowPolicy: InvalidAttributeName: ")
	require.Equal(t, "60", attributesOf(t, endpoint, name)["VisibilityTimeout"])

	again, err := applyTo(t, o, u, wish, false)
	require.NoError(t, err)
	require.Equal(t, []string{"update " + name + "-dlq redrive_allow_policy"}, fields(again))
	require.NotEmpty(t, again[0].LeftOut)

	_, err = client(t, endpoint).SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: queueURLOf(t, endpoint, name+"-dlq"), MessageBody: aws.String("letter")})
	require.NoError(t, err)
	found, err := examine(t, o, u, nil, admin.Handlers{})
	require.NoError(t, err)
	var ids []string
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	require.Contains(t, ids, "letters-present")
	require.NotContains(t, ids, "dlq-retention")
	require.NotContains(t, ids, "letters-expire")
	require.NotContains(t, ids, "no-allow-policy")
	require.NotContains(t, ids, "encryption-off")
}

func queueURLOf(t *testing.T, endpoint, name string) *string {
	t.Helper()
	at, err := client(t, endpoint).GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: &name})
	require.NoError(t, err)
	return at.QueueUrl
}

// Servers end an idle long poll each in its own way. None of them is an outage.
func TestIdlePollsEndInManyWays(t *testing.T) {
	testserver.Credentials(t)
	for name, answer := range map[string]http.HandlerFunc{
		"no member":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) },
		"an empty list":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"Messages":[]}`)) },
		"a null":         func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"Messages":null}`)) },
		"nothing at all": func(http.ResponseWriter, *http.Request) {},
		"no content":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	} {
		t.Run(name, func(t *testing.T) {
			polls := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ReceiveMessage") {
					polls++
					answer(w, r)
					return
				}
				_, _ = w.Write([]byte(`{"Attributes":{"QueueArn":"arn:aws:sqs:us-east-1:000000000000:orders","VisibilityTimeout":"30"}}`))
			}))
			defer s.Close()
			src, err := sqs.NewSource(t.Context(), client(t, s.URL), s.URL+"/000000000000/orders", nil)
			require.NoError(t, err)
			got, err := src.Receive(t.Context(), 10, time.Second)
			require.NoError(t, err)
			require.Empty(t, got)
			require.Positive(t, polls)
			require.NoError(t, src.Close())
		})
	}
}
