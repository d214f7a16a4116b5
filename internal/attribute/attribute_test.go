package attribute_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/attribute"
)

func TestLookAlikes(t *testing.T) {
	for name, want := range map[string]bool{
		"sns-topic-arn": false, "sluice-dead-letter-reason": false, "sluice-anything": false, // reserved, spelled as such
		"sns_topic_arn": true, "SNS-Topic-Arn": true, "sns.topic.arn": true, "snsTopicArn": true, "sns-topic-arn ": true,
		" sns-topic-arn": true, "sns-topic-arn\x00": true, "sns-topic-arn\r\n": true, "sns--topic--arn": true, "_sns_topic_arn_": true,
		"\u017fns-topic-arn": true, "ſnſ_topic_arn": true, "ｓｎｓ-topic-arn": true, "sns\u200b-topic-arn": true, "sns-top\u0131c-arn": true,
		"SLUICE_DEAD_LETTER_QUEUE": true, "sluice_x": true, "Sluice-Encoding": true, "sluiceDeadLetterReason": true, "s.l.u.i.c.e": false,
		"sluice-dead-letter\u017f": false, // begins as a reserved name does, so it is the framework's to give
		"sluicegate":               false, "sluicegate-open": false, "sns-topic": false, "sns": false, "": false, "tenant_id": false, "PATH": false,
		"ключ": false, "\u212aey": false, "traceparent": false, "content_type": false,
	} {
		require.Equal(t, want, attribute.LookAlike(name), "%q", name)
	}
}

func TestWhatFolds(t *testing.T) {
	all := map[string]string{
		"sns-topic-arn": "true", "sns_topic_arn": "forged", "SNS.TOPIC.ARN": "forged",
		"a-b": "1", "a.b": "2", "a_b": "3", "A-B": "0", "other": "x",
	}
	winners, dropped := attribute.Folded(all, func(name string) string {
		return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
	})
	require.Equal(t, map[string]string{"sns-topic-arn": "sns-topic-arn", "a-b": "a_b", "other": "other"}, winners)
	require.Equal(t, []string{"A-B", "SNS.TOPIC.ARN", "a-b", "a.b", "sns_topic_arn"}, dropped)

	passed, dropped := attribute.Passed(all)
	require.Equal(t, []string{"SNS.TOPIC.ARN", "sns_topic_arn"}, dropped)
	require.Len(t, passed, 6)
	require.Len(t, all, 8, "the message's own map stays as it is")

	// A reader that folds a reserved name into something else cannot lose it either.
	winners, _ = attribute.Folded(map[string]string{"sluice-x": "true", "zzz": "forged"}, func(string) string { return "one" })
	require.Equal(t, map[string]string{"one": "sluice-x"}, winners)
}
