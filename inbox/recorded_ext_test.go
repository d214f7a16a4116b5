package inbox_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler/webhook"
	"github.com/sluice-go/sluice/inbox"
)

// A recorded request is one of a provider's own documentation. If that has no signature
// that can be checked, its sample is signed by another program (Python's hmac).
type recorded struct {
	name     string
	provider func(t testing.TB) inbox.Provider
	header   map[string]string
	signed   string // the header with the signature
	body     string
	id, kind string
}

const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	slackSecret    = "8f742231b10e8888abcd99yyyzzz85a5"
	stripeSecret   = "whsec_test_secret"
)

// at is the configuration of a provider at a time.
func at(seconds int64) *webhook.VerifierConfig {
	return &webhook.VerifierConfig{Now: func() time.Time { return time.Unix(seconds, 0) }}
}

func slack(t testing.TB) inbox.Provider {
	p, err := inbox.NewSlack([]string{"another", slackSecret}, at(1531420618))
	require.NoError(t, err)
	return p
}

func stripe(t testing.TB) inbox.Provider {
	p, err := inbox.NewStripe([]string{"another", stripeSecret}, at(1492774577))
	require.NoError(t, err)
	return p
}

func standard(secrets ...string) func(t testing.TB) inbox.Provider {
	return func(t testing.TB) inbox.Provider {
		p, err := inbox.NewStandard(secrets, at(1614265330))
		require.NoError(t, err)
		return p
	}
}

func github(t testing.TB) inbox.Provider {
	p, err := inbox.NewGitHub("another", "It's a Secret to Everybody")
	require.NoError(t, err)
	return p
}

func shopify(t testing.TB) inbox.Provider {
	p, err := inbox.NewShopify("another", "hush")
	require.NoError(t, err)
	return p
}

var recordings = []recorded{
	{
		// The vector of the specification's own libraries.
		name: "standard", provider: standard(standardSecret),
		header: map[string]string{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
			"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		signed: "webhook-signature", body: `{"test": 2432232314}`, id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
	},
	{
		// Their vector for v1a; the public key is that of the seed in it.
		name: "standard v1a", provider: standard("whpk_ZlN4eg7dSSqi0moX9hQUk3orrOouK3QVQSlJa248c/g="),
		header: map[string]string{"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
			"webhook-signature": "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="},
		signed: "webhook-signature", body: `{"test": 2432232314}`, id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
	},
	{
		// docs.github.com, "Validating webhook deliveries", with the headers of "Webhook
		// events and payloads".
		name: "github", provider: github,
		header: map[string]string{"X-GitHub-Event": "issues", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
			"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
		signed: "X-Hub-Signature-256", body: "Hello, World!", id: "72d3162e-cc78-11e3-81ab-4c9367dc0958", kind: "issues",
	},
	{
		// docs.slack.dev, "Verifying requests from Slack".
		name: "slack", provider: slack,
		header: map[string]string{"X-Slack-Request-Timestamp": "1531420618",
			"X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
		signed: "X-Slack-Signature",
		body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner" +
			"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN" +
			"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
		id: "398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c", kind: "slash_commands",
	},
	{
		// The sample of the Events API.
		name: "slack event", provider: slack,
		header: map[string]string{"X-Slack-Request-Timestamp": "1531420618",
			"X-Slack-Signature": "v0=196026f49121181858ecd3454de2187d70ecdd527014b97f3a53c70cf054f1be"},
		signed: "X-Slack-Signature",
		body: `{"token":"XXYYZZ","team_id":"TXXXXXXXX","api_app_id":"AXXXXXXXXX","event":{"type":"app_mention","event_ts":"1234567890.123456","user":"UXXXXXXX1"},` +
			`"type":"event_callback","authed_users":["UXXXXXXX1"],"event_id":"Ev08MFMKH6","event_time":1234567890}`,
		id: "Ev08MFMKH6", kind: "app_mention",
	},
	{
		name: "slack interaction", provider: slack,
		header: map[string]string{"X-Slack-Request-Timestamp": "1531420618",
			"X-Slack-Signature": "v0=933c5a5df0ca3209058f8a68a49d4d3aca220ef5d9378ba029624f4c8f63bf72"},
		signed: "X-Slack-Signature",
		body:   "payload=%7B%22type%22%3A%22block_actions%22%2C%22trigger_id%22%3A%2212321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3%22%7D",
		id:     "12321423423.333649436676.d8c1bb837935619ccad0f624c448ffb3", kind: "block_actions",
	},
	{
		name: "slack without an ID", provider: slack,
		header: map[string]string{"X-Slack-Request-Timestamp": "1531420618",
			"X-Slack-Signature": "v0=da34a6abecd2fad4dfd96c430bba6302e37910e8c6264136801d653508356d88"},
		signed: "X-Slack-Signature", body: `{"token":"XXYYZZ","type":"app_rate_limited","minute_rate_limited":1518467820}`,
		id: "slack-da34a6abecd2fad4dfd96c430bba6302e37910e8c6264136801d653508356d88", kind: "app_rate_limited",
	},
	{
		// docs.stripe.com shows a header without its secret: its timestamp, its v0, and a
		// signature of our own.
		name: "stripe", provider: stripe,
		header: map[string]string{"Stripe-Signature": "t=1492774577,v1=bb82058c58f848c43be9252d2a4a33a96de15678576ca74d67d4c7d78ff77fcc," +
			"v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"},
		signed: "Stripe-Signature",
		body:   `{"id":"evt_1NNUrjL6kclEVx6Mb1x5dKJ3","object":"event","api_version":"2022-11-15","created":1492774577,"type":"product.created"}`,
		id:     "evt_1NNUrjL6kclEVx6Mb1x5dKJ3", kind: "product.created",
	},
	{
		// shopify.dev shows headers without the secret: the signature is our own.
		name: "shopify", provider: shopify,
		header: map[string]string{"X-Shopify-Topic": "orders/create", "X-Shopify-Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
			"X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", "X-Shopify-Shop-Domain": "johns-apparel.myshopify.com",
			"X-Shopify-Hmac-Sha256": "qdbf4l++JpUUAlVOyF3rZoMjQ8C3aksJfQ3ibAywGnQ="},
		signed: "X-Shopify-Hmac-Sha256", body: `{"id":820982911946154508,"email":"jon@example.com","financial_status":"paid"}`,
		id: "orders/create:98880550-7158-44d4-b7cd-2c97c8a091b5", kind: "orders/create",
	},
}

// headers returns the request's header.
func (r *recorded) headers() http.Header {
	h := http.Header{}
	for name, value := range r.header {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/json")
	return h
}
