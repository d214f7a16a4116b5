package console

import (
	"regexp"
	"strings"
)

var (
	traceparent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}`)
	xray        = regexp.MustCompile(`Root=1-([0-9a-f]{8})-([0-9a-f]{24})`)
)

// traceURL returns the address of a message's trace, made from a template with
// {trace_id} and {span_id}, or "" if the message has none.
func traceURL(template string, attributes map[string]string) string {
	if template == "" {
		return ""
	}
	for _, name := range []string{"traceparent", "googclient_traceparent"} {
		if m := traceparent.FindStringSubmatch(attributes[name]); m != nil {
			return strings.NewReplacer("{trace_id}", m[1], "{span_id}", m[2]).Replace(template)
		}
	}
	if m := xray.FindStringSubmatch(attributes["AWSTraceHeader"]); m != nil {
		return strings.NewReplacer("{trace_id}", m[1]+m[2], "{span_id}", "").Replace(template)
	}
	return ""
}
