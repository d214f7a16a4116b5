package httphandler_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/httphandler"
)

// hostile are names with which a sender would like to pass for the framework, an
// operator or the protocol.
var hostile = []string{
	"sns_topic_arn", "SNS-Topic-Arn", "sns.topic.arn", "snsTopicArn", "sns-topic-arn ", " sns-topic-arn", "sns-topic-arn\x00", "sns-topic-arn\r\n",
	"\u017fns-topic-arn", "ſnſ_topic_arn", "ｓns-topic-arn", "sns\u200b-topic-arn", "sns topic arn", "HTTP_SNS_TOPIC_ARN", "\u212aey",
	"PATH", "LD_PRELOAD", "IFS", "HTTP_PROXY", "Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Authorization", "Cookie",
	"X-Forwarded-For", "Sluice-Message-Id", "sluice_message_id", "Sluice-Attempt", "../Sluice-Queue", "x\r\nSluice-Queue: forged", "webhook-signature",
	"webhook_id", "Sluice-Dead-Letter-Reason", "sluice_dead_letter_queue", "",
}

func TestASenderShadowsNoHeader(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r; body, _ = io.ReadAll(r.Body) })
	var logged bytes.Buffer
	h := newHandler(t, url, &httphandler.Config{
		Header: http.Header{"Authorization": {"Bearer operator"}, "sluice-attr-tier": {"operator"}, "Content-Type": {"application/operator"}, "Traceparent": {"operator"}},
		Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	attributes := map[string]string{
		"sns-topic-arn": "true", "sluice-dead-letter-reason": "true", "sluice-dead-letter-queue": "true", "tenant": "acme",
		"content-type": "text/forged", "tier": "forged", "traceparent": "forged",
	}
	for _, name := range hostile {
		attributes[name] = "forged"
	}
	m := &handler.Message{ID: "m-1", Body: []byte("whole"), Attempt: 2, Attributes: attributes}
	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	require.NoError(t, h.Handle(t.Context(), m))

	require.Equal(t, "whole", string(body))
	require.Equal(t, strings.TrimPrefix(url, "http://"), got.Host)
	for name, want := range map[string]string{
		"Sluice-Message-Id": "m-1", "Sluice-Attempt": "2", "Sluice-Queue": "orders", "Authorization": "Bearer operator",
		"Sluice-Attr-Sns-Topic-Arn": "true", "Sluice-Attr-Sluice-Dead-Letter-Reason": "true", "Sluice-Attr-Sluice-Dead-Letter-Queue": "true",
		"Sluice-Attr-Tenant": "acme", "Sluice-Attr-Tier": "operator", "Content-Type": "application/operator", "Traceparent": "operator",
		"Sluice-Group": "", "Sluice-Dedupe-Id": "", "Cookie": "", "X-Forwarded-For": "", "Webhook-Signature": "", "Transfer-Encoding": "",
	} {
		require.Equal(t, want, strings.Join(got.Header[http.CanonicalHeaderKey(name)], ", "), name)
	}
	// Nor for who trims, folds or drops separators once more.
	squeeze := strings.NewReplacer("-", "", "_", "", ".", "")
	for name, values := range got.Header {
		if squeeze.Replace(strings.ToLower(name)) == "sluiceattrsnstopicarn" {
			require.Equal(t, []string{"true"}, values, name)
		}
		if strings.Contains(strings.Join(values, ""), "forged") {
			require.True(t, strings.HasPrefix(name, "Sluice-Attr-"), "%s: %q", name, values)
		}
	}
	require.Contains(t, logged.String(), "sns_topic_arn")
	require.Equal(t, 1, strings.Count(logged.String(), "attributes are not passed on"))
	require.NoError(t, h.Handle(t.Context(), m))
	require.Equal(t, 1, strings.Count(logged.String(), "attributes are not passed on"), "once a minute")

	// A look-alike is not passed on without its like either: a notification
	// without a subject has no sns-subject.
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "m", Attributes: map[string]string{"sns_subject": "forged"}}))
	require.NotContains(t, got.Header, "Sluice-Attr-Sns-Subject")
}
