package where_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/admin/letters"
	"github.com/sluice-go/sluice/admin/letters/where"
	"github.com/sluice-go/sluice/handler"
)

func letter(body string) letters.Letter {
	m := &handler.Message{ID: "m1", Body: []byte(body), Group: "g", DedupeID: "d", Attributes: map[string]string{"tenant": "acme"}, EnqueuedAt: time.Unix(1700000000, 0)}
	return letters.Letter{Message: m, Reason: "timeout after 3s", Kind: "refund", Attempts: 5, Last: time.Unix(1700000100, 0), Queue: "orders", Consumer: "w1"}
}

func TestExpressionsSelect(t *testing.T) {
	t.Parallel()
	l := letter(`{"amount": 12, "ratio": 1.5, "big": 9007199254740993, "items": [{"sku": "a"}], "none": null}`)
	for expression, want := range map[string]bool{
		`true`:                                            true,
		`kind == "refund"`:                                true,
		`reason.contains("timeout")`:                      true,
		`attempts >= 5 && redrives == 0`:                  true,
		`attributes["tenant"] in ["acme", "globex"]`:      true,
		`attributes.tenant == "acme"`:                     true,
		`attributes.region == "eu"`:                       false,
		`!(attributes.region == "eu")`:                    false, // what can't be answered selects nothing
		`has(attributes.region)`:                          false,
		`body.amount > 10`:                                true,
		`body.amount == 12`:                               true,
		`body.amount > 11.5`:                              true,
		`body.ratio * 2.0 == 3.0`:                         true,
		`body.big == 9007199254740993`:                    true,
		`body.items.exists(i, i.sku == "a")`:              true,
		`body.none == null`:                               true,
		`body.missing == 1`:                               false,
		`last_failed > timestamp("2023-11-14T22:13:20Z")`: true,
		`last_failed - enqueued_at == duration("100s")`:   true,
		`first_failed < enqueued_at`:                      true,
		`text.matches("amo.nt")`:                          true,
		`body_bytes < 1000 && id == "m1" && group == "g" && dedupe_id == "d"`: true,
		`queue == "orders" && consumer.startsWith("w")`:                       true,
		`"acme" in attributes.map(k, attributes[k])`:                          true,
	} {
		e, err := where.Compile(expression)
		require.NoError(t, err, expression)
		require.Equal(t, want, e.Selects(l), expression)
		n, fault := e.Fault()
		require.NoError(t, fault, expression)
		require.Zero(t, n)
	}
}

func TestABodyThatIsNotJSON(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "plain", "{", "1 2", "\xff", `{"a":1}x`} {
		e, err := where.Compile(`body == null`)
		require.NoError(t, err)
		require.True(t, e.Selects(letter(body)), body)
	}
	e, err := where.Compile(`body == 12`)
	require.NoError(t, err)
	require.True(t, e.Selects(letter("12")))
}

func TestAFaultNamesItsPlace(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`atributes.tenant == "x"`:    "line 1, column 1: undeclared reference to 'atributes'",
		`kind == 3`:                  "line 1, column 6: found no matching overload",
		"kind == \"a\" &&\n  nosuch": "line 2, column 3: undeclared reference to 'nosuch'",
		`attempts`:                   "line 1, column 1: the expression is of type int, not bool",
		`kind == `:                   "line 1, column 9: Syntax error",
		``:                           "line 1, column 1: Syntax error",
		`reason.matches("[")`:        "line 1, column 1",
		strings.Repeat("(", 500):     "line 1, column 1: expression recursion limit exceeded",
		`a == 1 && b == 2`:           "column 11: undeclared reference to 'b'",
	} {
		_, err := where.Compile(expression)
		require.ErrorContains(t, err, want, expression)
	}
}

func TestWhatCannotBeEvaluatedIsReported(t *testing.T) {
	t.Parallel()
	e, err := where.Compile(`body.amount > 10`)
	require.NoError(t, err)
	require.False(t, e.Selects(letter(`{"amount": "many"}`)))
	require.False(t, e.Selects(letter(`{"amount": [1]}`)))
	require.False(t, e.Selects(letter(`{}`)), "that it is missing is an answer")
	n, fault := e.Fault()
	require.Equal(t, 2, n)
	require.ErrorContains(t, fault, "letter m1: no such overload")

	e, err = where.Compile(`body`)
	require.NoError(t, err)
	require.True(t, e.Selects(letter(`true`)))
	require.False(t, e.Selects(letter(`"true"`)))
	_, fault = e.Fault()
	require.ErrorContains(t, fault, "not a bool")
}

func TestAnExpressionHasAnEnd(t *testing.T) {
	t.Parallel()
	list := "[" + strings.Repeat("1,", 300) + "1]"
	e, err := where.Compile(`body.all(a, body.all(b, body.all(c, body.all(d, a == d))))`)
	require.NoError(t, err)
	require.False(t, e.Selects(letter(list)))
	_, fault := e.Fault()
	require.ErrorContains(t, fault, "cost limit exceeded")
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{`kind == "a"`, `body.x.y[0] > 1.5`, `attributes.all(k, k != "")`, `(((`, "\xff", `"\u0000"`, `timestamp("x")`} {
		f.Add(s, `{"x": {"y": [1, 2]}}`)
	}
	f.Fuzz(func(t *testing.T, expression, body string) {
		e, err := where.Compile(expression)
		if err != nil {
			require.Regexp(t, `^line \d+, column \d+: `, err.Error())
			return
		}
		e.Selects(letter(body))
	})
}

func Example() {
	e, err := where.Compile(`kind == "refund" && body.amount > 100`)
	if err != nil {
		panic(err)
	}
	filter := letters.Filter{Where: e.Selects}
	m := &handler.Message{Body: []byte(`{"amount": 250}`), Attributes: map[string]string{"type": "refund"}}
	fmt.Println(filter.Matches(letters.Of(m)))
	_, err = where.Compile(`kid == "refund"`)
	fmt.Println(err)
	// Output:
	// true
	// line 1, column 1: undeclared reference to 'kid' (did you mean 'id' or 'kind'?)
}
