package otel

import (
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// formatXRay returns sc as a tracing header of AWS X-Ray. X-Ray splits the trace
// ID after the eight digits that it reads as a time.
func formatXRay(sc trace.SpanContext) string {
	id, sampled := sc.TraceID().String(), "0"
	if sc.IsSampled() {
		sampled = "1"
	}
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + sc.SpanID().String() + ";Sampled=" + sampled
}

// parseXRay parses a tracing header of AWS X-Ray, such as
//
//	Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1
//
// in which the fields are in any order and others may follow. The span context
// that it returns is remote; it is invalid if the header is malformed or lacks
// Root or Parent.
func parseXRay(header string) trace.SpanContext {
	cfg := trace.SpanContextConfig{Remote: true}
	for field := range strings.SplitSeq(header, ";") {
		key, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			continue
		}
		var err error
		switch key {
		case "Root":
			cfg.TraceID, err = parseRoot(value)
		case "Parent":
			cfg.SpanID, err = trace.SpanIDFromHex(value)
		case "Sampled": // "?" leaves the decision to the receiver
			cfg.TraceFlags = cfg.TraceFlags.WithSampled(value == "1")
		}
		if err != nil {
			return trace.SpanContext{}
		}
	}
	return trace.NewSpanContext(cfg)
}

// parseRoot parses version 1 of X-Ray's trace ID. It returns the zero ID if s has
// another version or another form.
func parseRoot(s string) (trace.TraceID, error) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 || parts[0] != "1" || len(parts[1]) != 8 {
		return trace.TraceID{}, nil
	}
	return trace.TraceIDFromHex(parts[1] + parts[2])
}
