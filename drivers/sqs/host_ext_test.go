package sqs_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/drivers/sqs"
)

// asked notes the host that a request went to and the region it was signed for.
type asked struct{ host, region string }

var signedFor = regexp.MustCompile(`/\d{8}/([^/]+)/sqs/`)

func (a *asked) Do(r *http.Request) (*http.Response, error) {
	a.host = r.URL.Scheme + "://" + r.URL.Host
	if m := signedFor.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		a.region = m[1]
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body: io.NopCloser(strings.NewReader(`{"Attributes":{"QueueArn":"arn:aws:sqs:x:1:q","VisibilityTimeout":"30"}}`)),
	}, nil
}

func TestTheHostOfAURLIsAsked(t *testing.T) {
	for host, region := range map[string]string{
		"sqs.us-east-2.amazonaws.com":                                        "us-east-2",
		"sqs-fips.us-east-2.amazonaws.com":                                   "us-east-2",
		"sqs-fips.us-east-2.api.aws":                                         "us-east-2",
		"sqs.us-east-2.api.aws":                                              "us-east-2",
		"us-east-2.queue.amazonaws.com":                                      "us-east-2",
		"queue.amazonaws.com":                                                "us-east-1",
		"sqs.us-gov-west-1.amazonaws.com":                                    "us-gov-west-1",
		"sqs.cn-north-1.amazonaws.com.cn":                                    "cn-north-1",
		"sqs.cn-north-1.api.amazonwebservices.com.cn":                        "cn-north-1",
		"cn-north-1.queue.amazonaws.com.cn":                                  "cn-north-1",
		"vpce-0a1b2c3d-4e5f6a7b.sqs.us-east-2.vpce.amazonaws.com":            "us-east-2",
		"vpce-0a1b2c3d-4e5f6a7b-us-east-2a.sqs.us-east-2.vpce.amazonaws.com": "us-east-2",
		"vpce-0a1b2c3d-4e5f6a7b.sqs.cn-north-1.vpce.amazonaws.com.cn":        "cn-north-1",
		"sqs.eusc-de-east-1.amazonaws.eu":                                    "eusc-de-east-1",
		"sqs.us-iso-east-1.c2s.ic.gov":                                       "us-iso-east-1",
		"sqs.us-isob-east-1.sc2s.sgov.gov":                                   "us-isob-east-1",
		"sqs.eu-isoe-west-1.cloud.adc-e.uk":                                  "eu-isoe-west-1",
		"sqs.us-isof-south-1.csp.hci.ic.gov":                                 "us-isof-south-1",
	} {
		for _, env := range []string{"eu-west-1", ""} {
			for _, fips := range []aws.FIPSEndpointState{aws.FIPSEndpointStateUnset, aws.FIPSEndpointStateEnabled} {
				if fips == aws.FIPSEndpointStateEnabled && !strings.HasPrefix(host, "sqs-fips") {
					continue
				}
				a := &asked{}
				o := &sqs.Opener{AWS: &aws.Config{
					Region: env, HTTPClient: a, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
					ConfigSources: []any{fipsSource(fips)},
				}}
				u, err := url.Parse("awssqs://" + host + "/123456789012/orders")
				require.NoError(t, err)
				s, err := o.OpenSource(t.Context(), u, nil)
				require.NoError(t, err, host)
				require.NoError(t, s.Close())
				require.Equal(t, "https://"+host, a.host)
				require.Equal(t, region, a.region, host)
			}
		}
	}
}

// fipsSource is AWS_USE_FIPS_ENDPOINT.
type fipsSource aws.FIPSEndpointState

func (f fipsSource) GetUseFIPSEndpoint() (aws.FIPSEndpointState, bool, error) {
	return aws.FIPSEndpointState(f), true, nil
}

func TestWhatPeoplePasteIsAnsweredWithTheURL(t *testing.T) {
	m := drivers.NewMux(&sqs.Opener{}, &mem.Opener{})
	for pasted, want := range map[string]string{
		"https://sqs.us-east-1.amazonaws.com/123456789012/orders":                  "write awssqs://sqs.us-east-1.amazonaws.com/123456789012/orders",
		"https://sqs-fips.us-east-1.amazonaws.com/123456789012/orders.fifo":        "write awssqs://sqs-fips.us-east-1.amazonaws.com/123456789012/orders.fifo",
		"https://queue.amazonaws.com/123456789012/orders":                          "write awssqs://queue.amazonaws.com/123456789012/orders",
		"arn:aws:sqs:eu-west-1:123456789012:orders":                                "write awssqs:///123456789012/orders?region=eu-west-1",
		"arn:aws-cn:sqs:cn-north-1:123456789012:orders.fifo":                       "write awssqs:///123456789012/orders.fifo?region=cn-north-1",
		"http://localstack:4566/000000000000/orders":                               "write awssqs:///orders?region=us-east-1&endpoint=http://localstack:4566",
		"http://sqs.us-east-1.localhost.localstack.cloud:4566/000000000000/orders": "write awssqs:///orders?region=us-east-1&endpoint=http://sqs.us-east-1.localhost.localstack.cloud:4566",
		"arn:aws:sns:eu-west-1:123456789012:topic":                                 `unknown scheme "arn"`,
		"https://example.com/x":                                                    `unknown scheme "https"`,
		"https://user:secret@sqs.us-east-1.amazonaws.com/123456789012/orders":      `unknown scheme "https"`,
	} {
		_, err := m.OpenSink(t.Context(), pasted, nil)
		require.ErrorIs(t, err, drivers.ErrInvalid, pasted)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
}
