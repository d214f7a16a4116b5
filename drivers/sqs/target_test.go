package sqs

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
)

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		url  string
		want target
	}{
		{"awssqs:///orders", target{name: "orders"}},
		{"awssqs:///orders.fifo?region=eu-west-1", target{name: "orders.fifo", region: "eu-west-1"}},
		{"awssqs:///123456789012/orders", target{name: "orders", account: "123456789012"}},
		{"awssqs:///orders?endpoint=http://127.0.0.1:4566&profile=dev&visibility_timeout=90s&dead_letter=dead",
			target{name: "orders", endpoint: "http://127.0.0.1:4566", profile: "dev", visibility: 90 * time.Second, deadLetter: "dead"}},
		{"awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders",
			target{name: "orders", region: "us-east-1", queueURL: "https://sqs.us-east-1.amazonaws.com/123456789012/orders"}},
		{"awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders?region=us-east-1",
			target{name: "orders", region: "us-east-1", queueURL: "https://sqs.us-east-1.amazonaws.com/123456789012/orders"}},
		{"awssqs://sqs-fips.us-gov-west-1.amazonaws.com/1/q", target{name: "q", region: "us-gov-west-1", queueURL: "https://sqs-fips.us-gov-west-1.amazonaws.com/1/q", hostEndpoint: "https://sqs-fips.us-gov-west-1.amazonaws.com"}},
		{"awssqs://sqs.cn-north-1.amazonaws.com.cn/1/q", target{name: "q", region: "cn-north-1", queueURL: "https://sqs.cn-north-1.amazonaws.com.cn/1/q"}},
		{"awssqs://sqs.us-east-2.api.aws/1/q", target{name: "q", region: "us-east-2", queueURL: "https://sqs.us-east-2.api.aws/1/q", hostEndpoint: "https://sqs.us-east-2.api.aws"}},
		{"awssqs://queue.amazonaws.com/1/q", target{name: "q", region: "us-east-1", queueURL: "https://queue.amazonaws.com/1/q", hostEndpoint: "https://queue.amazonaws.com"}},
		{"awssqs://eu-west-1.queue.amazonaws.com/1/q", target{name: "q", region: "eu-west-1", queueURL: "https://eu-west-1.queue.amazonaws.com/1/q", hostEndpoint: "https://eu-west-1.queue.amazonaws.com"}},
		{"awssqs://vpce-1.sqs.us-east-1.vpce.amazonaws.com/1/q?region=us-east-1",
			target{name: "q", region: "us-east-1", queueURL: "https://vpce-1.sqs.us-east-1.vpce.amazonaws.com/1/q", hostEndpoint: "https://vpce-1.sqs.us-east-1.vpce.amazonaws.com"}},
		{"awssqs://127.0.0.1:9324/000000000000/q", target{name: "q", queueURL: "http://127.0.0.1:9324/000000000000/q", hostEndpoint: "http://127.0.0.1:9324"}},
		{"awssqs://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q",
			target{name: "q", queueURL: "http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/q", hostEndpoint: "http://sqs.us-east-1.localhost.localstack.cloud:4566"}},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		got, err := parse(u)
		require.NoError(t, err, c.url)
		require.Equal(t, c.want, *got, c.url)
	}
}

func TestBadURLsAreRefusedWithAWayOut(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"awssqs:///", "names no queue"},
		{"awssqs://", "names no queue"},
		{"awssqs://orders", "a queue of that name is awssqs:///orders"},
		{"awssqs://sqs.us-east-1.amazonaws.com/1/", "names no queue"},
		{"awssqs:orders", "awssqs:///orders"},
		{"awssqs:///a/b/c", "an account number and a name"},
		{"awssqs:////orders", "an account number and a name"},
		{"awssqs:///orders#x", "malformed"},
		{"awssqs://key:secret@sqs.us-east-1.amazonaws.com/1/q", "no user and password"},
		{"awssqs:///orders?regoin=x", `did you mean "region"?`},
		{"awssqs:///orders?visibility_timeout=30", "such as 90s"},
		{"awssqs:///orders?visibility_timeout=1500ms", "whole seconds"},
		{"awssqs:///orders?visibility_timeout=13h", "up to 12h"},
		{"awssqs:///orders?visibility_timeout=-1s", "up to 12h"},
		{"awssqs:///orders?endpoint=127.0.0.1:4566", "must be a URL"},
		{"awssqs:///orders?endpoint=ftp://host", "must be a URL"},
		{"awssqs:///orders?region=", `parameter "region" is empty`},
		{"awssqs://localstack:4566/000000000000/q", "awssqs:///q?endpoint=http://localstack:4566"},
		{"awssqs://s3.us-east-1.amazonaws.com/1/q", "not a host of SQS"},
		{"awssqs://vpce-1.sqs.us-east-1.vpce.amazonaws.com/1/q?region=eu-west-1", "the host is in the region us-east-1"},
		{"awssqs://sqs.us-east-1.amazonaws.com/1/q?region=eu-west-1", "the host is in the region us-east-1"},
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err, c.url)
		_, err = parse(u)
		require.ErrorIs(t, err, drivers.ErrInvalid, c.url)
		require.ErrorContains(t, err, c.want, c.url)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestSiblings(t *testing.T) {
	q := &queue{name: "orders", url: "https://sqs.us-east-1.amazonaws.com/1/orders", arn: "arn:aws:sqs:us-east-1:1:orders"}
	for _, name := range []string{"dead", "arn:aws:sqs:us-east-1:1:dead", "https://sqs.us-east-1.amazonaws.com/1/dead"} {
		got, err := q.sibling(name)
		require.NoError(t, err)
		require.Equal(t, "https://sqs.us-east-1.amazonaws.com/1/dead", got)
	}
	for _, name := range []string{"arn:aws:sqs:eu-west-1:1:dead", "arn:aws:sqs:us-east-1:2:dead", "a/b", "arn:aws:sqs"} {
		_, err := q.sibling(name)
		require.Error(t, err, name)
	}
}

func TestRedrivePolicies(t *testing.T) {
	for s, want := range map[string]redrivePolicy{
		`{"deadLetterTargetArn":"arn","maxReceiveCount":5}`:   {"arn", 5},
		`{"deadLetterTargetArn":"arn","maxReceiveCount":"5"}`: {"arn", 5},
		`{"deadLetterTargetArn":"arn"}`:                       {"arn", 0},
	} {
		got, err := parseRedrivePolicy(s)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, s := range []string{"", "{", `{"maxReceiveCount":"many"}`} {
		_, err := parseRedrivePolicy(s)
		require.Error(t, err, s)
	}
}
