//go:build unix

package exechandler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
)

// hostile are names with which a sender would like to pass for the framework or
// to reach the command's own environment.
var hostile = []string{
	"sns_topic_arn", "SNS-Topic-Arn", "sns.topic.arn", "snsTopicArn", "sns-topic-arn ", " sns-topic-arn", "sns-topic-arn\x00", "sns-topic-arn\n",
	"\u017fns-topic-arn", "ſnſ_topic_arn", "ｓns-topic-arn", "sns\u200b-topic-arn", "HTTP_SNS_TOPIC_ARN", "\u212aey", "sns-topic-arn=forged",
	"PATH", "LD_PRELOAD", "IFS", "BASH_ENV", "HTTP_PROXY", "x\nPATH", "x\x00PATH", "=PATH", "SLUICE_MESSAGE_ID", "SLUICE_ATTRIBUTES", "ibutes",
	"sluice_dead_letter_queue", "SLUICE_DEAD_LETTER_REASON", "BASH_FUNC_ls%%", "",
}

func forged() *handler.Message {
	attributes := map[string]string{
		"sns-topic-arn": "true", "sluice-dead-letter-reason": "true", "sluice-dead-letter-queue": "true", "tenant": "acme",
	}
	for _, name := range hostile {
		attributes[name] = "forged"
	}
	m := &handler.Message{ID: "m-1", Attempt: 2, Attributes: attributes}
	m.Bind(&handler.Origin{Queue: "orders"}, nil)
	return m
}

func TestASenderShadowsNoVariable(t *testing.T) {
	t.Setenv("IFS_KEPT", "operator")
	out := filepath.Join(t.TempDir(), "out")
	h, logged := handlerFor(t, `sh -c 'env > "$0"' `+out)
	require.NoError(t, h.Handle(t.Context(), forged()))
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	env := map[string]string{}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[name] = value
	}
	for name, want := range map[string]string{
		"SLUICE_MESSAGE_ID": "m-1", "SLUICE_ATTEMPT": "2", "SLUICE_QUEUE": "orders", "SLUICE_ATTR_SNS_TOPIC_ARN": "true",
		"SLUICE_ATTR_SLUICE_DEAD_LETTER_REASON": "true", "SLUICE_ATTR_SLUICE_DEAD_LETTER_QUEUE": "true", "SLUICE_ATTR_TENANT": "acme",
		"PATH": os.Getenv("PATH"), "IFS_KEPT": "operator", "LD_PRELOAD": os.Getenv("LD_PRELOAD"), "HTTP_PROXY": os.Getenv("HTTP_PROXY"),
	} {
		require.Equal(t, want, env[name], name)
	}
	for name, value := range env {
		if squeezed := strings.ToLower(strings.ReplaceAll(name, "_", "")); squeezed == "sluiceattrsnstopicarn" {
			require.Equal(t, "true", value, name)
		}
		if value == "forged" {
			require.True(t, strings.HasPrefix(name, "SLUICE_ATTR_"), name)
		}
	}
	// Who reads the JSON by names that fold, as Go does, sees the same.
	var folded struct {
		Topic string `json:"sns-topic-arn"`
		Queue string `json:"sluice-dead-letter-queue"`
	}
	require.NoError(t, json.Unmarshal([]byte(env["SLUICE_ATTRIBUTES"]), &folded))
	require.Equal(t, "true", folded.Topic)
	require.Equal(t, "true", folded.Queue)
	require.Equal(t, 1, strings.Count(logged.String(), "attributes are not passed on"), logged.String())
	require.Contains(t, logged.String(), "sns_topic_arn")
}

func TestASenderShadowsNoMemberOfAWorkersLine(t *testing.T) {
	t.Parallel()
	m := forged()
	line, err := encode(t.Context(), m)
	require.NoError(t, err)
	var got struct {
		ID         string `json:"id"`
		Queue      string `json:"queue"`
		Attributes struct {
			Topic  string `json:"sns-topic-arn"`
			Reason string `json:"sluice-dead-letter-reason"`
			Tenant string `json:"tenant"`
		} `json:"attributes"`
	}
	require.NoError(t, json.Unmarshal(line, &got))
	require.Equal(t, []string{"m-1", "orders", "true", "true", "acme"}, []string{got.ID, got.Queue, got.Attributes.Topic, got.Attributes.Reason, got.Attributes.Tenant})
	require.Contains(t, m.Attributes, "sns_topic_arn", "the message itself stays as it came")
}

func TestAPoolSaysWhatItDoesNotPassOn(t *testing.T) {
	t.Parallel()
	p, logged := pool(t, nil)
	require.NoError(t, p.Handle(t.Context(), &handler.Message{ID: "m-1", Body: []byte("x"), Attributes: map[string]string{"sns_topic_arn": "forged"}}))
	require.Contains(t, logged.String(), "attributes are not passed on")
}
