package otel

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

func TestXRayHeaders(t *testing.T) {
	const root, parent = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736", "Parent=00f067aa0ba902b7"
	for header, sampled := range map[string]bool{
		root + ";" + parent + ";Sampled=1":                               true,
		"Sampled=1; " + parent + " ; " + root:                            true,
		root + ";" + parent + ";Sampled=1;Lineage=1:a87bd80c:0":          true,
		"Self=1-67891234-12456789abcdef012345678;" + root + ";" + parent: false,
		root + ";" + parent + ";Sampled=0":                               false,
		root + ";" + parent + ";Sampled=?":                               false,
		root + ";;" + parent + ";":                                       false,
	} {
		sc := parseXRay(header)
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", sc.TraceID().String(), header)
		require.Equal(t, "00f067aa0ba902b7", sc.SpanID().String(), header)
		require.Equal(t, sampled, sc.IsSampled(), header)
		require.True(t, sc.IsRemote(), header)
	}
	for _, header := range []string{
		"", ";", "Root", root, parent, root + ";Parent=", root + ";Parent=00f067aa0ba902bz",
		"Root=2-4bf92f35-77b34da6a3ce929d0e0e4736;" + parent, // another version
		"Root=1-4bf92f3577b34da6a3ce929d0e0e4736;" + parent,  // not split
		"Root=1-4bf92f35-77b34da6a3ce929d0e0e47;" + parent,   // too short
		"Root=1-00000000-000000000000000000000000;" + parent, // X-Ray's zero
	} {
		require.False(t, parseXRay(header).IsValid(), header)
	}
}

func FuzzXRayHeader(f *testing.F) {
	f.Add("Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1")
	f.Fuzz(func(t *testing.T, header string) {
		if sc := parseXRay(header); sc.IsValid() {
			require.Equal(t, sc, parseXRay(formatXRay(sc)))
		} else {
			require.Equal(t, trace.TraceFlags(0), sc.TraceFlags()&^trace.FlagsSampled)
		}
	})
}
