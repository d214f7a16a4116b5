package pubsub

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"cloud.google.com/go/iam/apiv1/iampb"
	"cloud.google.com/go/monitoring/apiv3/v2/monitoringpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/genproto/googleapis/type/expr"
)

// Resource Manager has no emulator, and no other way to be asked than by its own
// address.
func TestAskingForAProjectsNumber(t *testing.T) {
	for _, c := range []struct {
		code         int
		body         string
		number, fail string
	}{
		{http.StatusOK, `{"name":"projects/42","projectId":"p"}`, "42", ""},
		{http.StatusOK, `{"projectId":"p"}`, "", `names it ""`},
		{http.StatusForbidden, `{"error":{"code":403,"message":"resourcemanager.projects.get is denied"}}`, "", "resourcemanager.projects.get is denied"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v3/projects/p" {
				t.Errorf("the request is for %s", r.URL.Path)
			}
			w.WriteHeader(c.code)
			_, _ = w.Write([]byte(c.body))
		}))
		t.Cleanup(server.Close)
		number, err := askNumber(t.Context(), "p", option.WithEndpoint(server.URL), option.WithoutAuthentication())
		require.Equal(t, c.number, number)
		if c.fail != "" {
			require.ErrorContains(t, err, "the number of project p")
			require.ErrorContains(t, err, c.fail)
		}
	}
}

func TestWhatIsAGrant(t *testing.T) {
	member := func(m string) bool { return m == "x" }
	for _, c := range []struct {
		name string
		b    *iampb.Binding
		want bool
	}{
		{"the role", &iampb.Binding{Role: rolePublisher, Members: []string{"y", "x"}}, true},
		{"one with more rights", &iampb.Binding{Role: "roles/pubsub.admin", Members: []string{"x"}}, true},
		{"another role", &iampb.Binding{Role: roleSubscriber, Members: []string{"x"}}, false},
		{"somebody else", &iampb.Binding{Role: rolePublisher, Members: []string{"y"}}, false},
		{"on a condition", &iampb.Binding{Role: rolePublisher, Members: []string{"x"}, Condition: &expr.Expr{Expression: "false"}}, false},
	} {
		require.Equal(t, c.want, granted(&iampb.Policy{Bindings: []*iampb.Binding{c.b}}, rolePublisher, member), c.name)
	}
	p := &iampb.Policy{Bindings: []*iampb.Binding{{Role: rolePublisher, Members: []string{"y"}, Condition: &expr.Expr{Expression: "false"}}}}
	addMember(p, rolePublisher, "x")
	require.Len(t, p.Bindings, 2, "the condition of others does not become ours")
	addMember(p, rolePublisher, "z")
	require.Equal(t, []string{"x", "z"}, p.Bindings[1].Members)
	require.True(t, anyAgent.MatchString(agent("42")))
}

func TestWhichAlarmsWatch(t *testing.T) {
	sub := name{project: "p", kind: kindSubscription, id: "orders-dlq"}
	promQL := func(query string) *monitoringpb.AlertPolicy_Condition {
		return &monitoringpb.AlertPolicy_Condition{Condition: &monitoringpb.AlertPolicy_Condition_ConditionPrometheusQueryLanguage{
			ConditionPrometheusQueryLanguage: &monitoringpb.AlertPolicy_Condition_PrometheusQueryLanguageCondition{Query: query}}}
	}
	require.True(t, watches(promQL(promBacklog+`{subscription_id="orders-dlq"} > 0`), sub))
	require.True(t, watches(promQL(promBacklog+` > 1000`), sub), "that of every subscription")
	require.False(t, watches(promQL(promBacklog+`{subscription_id="orders"} > 0`), sub))
	require.False(t, watches(promQL(`up == 0`), sub))
}
