package sqs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	smithy "github.com/aws/smithy-go"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
)

// The metrics that SQS gives to CloudWatch, from
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
const (
	metricNamespace = "AWS/SQS"
	metricVisible   = "ApproximateNumberOfMessagesVisible"
	metricAge       = "ApproximateAgeOfOldestMessage"
	// metricPeriod is how often SQS reports: once a minute.
	metricPeriod = 60
	agePeriods   = 5
)

// cloudWatch makes a client of CloudWatch for the target's account.
func cloudWatch(ctx context.Context, o *Opener, t *target, opts ...func(*cloudwatch.Options)) (*cloudwatch.Client, error) {
	cfg, err := o.load(ctx, t)
	if err != nil {
		return nil, err
	}
	if t.region != "" {
		cfg.Region = t.region
	}
	return cloudwatch.NewFromConfig(cfg, func(co *cloudwatch.Options) {
		co.Retryer = newPatient()
		// A server on this machine that has SQS is asked for CloudWatch too, and
		// nobody else: what is tried out here is nothing to AWS.
		switch sqs := awssqs.NewFromConfig(cfg).Options().BaseEndpoint; {
		case t.endpoint != "":
			co.BaseEndpoint = &t.endpoint
		case co.BaseEndpoint == nil && local(sqs):
			co.BaseEndpoint = sqs
		case co.BaseEndpoint == nil && local(&t.hostEndpoint):
			co.BaseEndpoint = &t.hostEndpoint
		}
		for _, f := range opts {
			f(co)
		}
	}), nil
}

// An alarm is one that is wanted on a metric of a queue.
type alarm struct {
	name      string
	queue     string
	metric    string
	threshold float64
	periods   int32
	about     string
}

// alarms are those that a specification wants. dead is the dead-letter queue's
// name, or empty.
func alarms(main, dead string, spec *provision.Alarms) []alarm {
	var out []alarm
	if spec == nil {
		return nil
	}
	if spec.DeadLetters > 0 && dead != "" {
		out = append(out, alarm{
			name: "sluice-" + main + "-dead-letters", queue: dead, metric: metricVisible, threshold: float64(spec.DeadLetters), periods: 1,
			about: fmt.Sprintf("Dead letters of %s. Each is a job that was not done.", main),
		})
	}
	if spec.OldestAge > 0 {
		out = append(out, alarm{
			name: "sluice-" + main + "-oldest-age", queue: main, metric: metricAge, threshold: spec.OldestAge.Seconds(), periods: agePeriods,
			about: fmt.Sprintf("The oldest message of %s waits for more than %v.", main, spec.OldestAge),
		})
	}
	return out
}

// planAlarms plans the alarms that the specification wants.
func planAlarms(ctx context.Context, p *planner, main string, dead *wish) error {
	name := ""
	if dead != nil {
		name = dead.name
	}
	wanted := alarms(main, name, p.spec.Alarms)
	if len(wanted) == 0 {
		return nil
	}
	client, err := p.cloudWatch(ctx)
	if err != nil {
		return drivers.Wrap(ctx, drivers.Invalid, main, "plan alarms", err, "")
	}
	for _, a := range wanted {
		c := provision.Change{Resource: "cloudwatch alarm " + a.name, Kind: provision.Create, To: a.String()}
		current, err := describeAlarm(ctx, client, a.name)
		if err = alarmFailure(ctx, main, "plan alarms", err); errors.Is(err, drivers.ErrUnsupported) {
			left := &provision.LeftOutError{What: []string{"alarm"}, Err: refusal(err)}
			c.LeftOut, c.Remedy = left.Error(), "omit alarms for that server, for example in an overlay with: queues: {NAME: {alarms: null}}"
			p.Add(c, nil)
			continue
		}
		if err != nil {
			return err
		}
		if current != nil {
			if a.is(current, p.spec.Alarms.Notify) {
				continue
			}
			c.Kind = provision.Update
			c.From = fmt.Sprintf("%s of %s from %g", aws.ToString(current.MetricName), dimension(current), aws.ToFloat64(current.Threshold))
		}
		p.Add(c, func(ctx context.Context) error {
			rctx, cancel := within(ctx, answerTime)
			defer cancel()
			_, err := client.PutMetricAlarm(rctx, a.input(p.spec.Alarms.Notify))
			return alarmFailure(ctx, main, "apply alarms", err)
		})
	}
	return nil
}

func (a *alarm) String() string {
	return fmt.Sprintf("%s of %s from %g", a.metric, a.queue, a.threshold)
}

func (a *alarm) input(notify string) *cloudwatch.PutMetricAlarmInput {
	in := &cloudwatch.PutMetricAlarmInput{
		AlarmName: &a.name, AlarmDescription: &a.about,
		Namespace: aws.String(metricNamespace), MetricName: &a.metric,
		Dimensions:         []cwtypes.Dimension{{Name: aws.String("QueueName"), Value: &a.queue}},
		Statistic:          cwtypes.StatisticMaximum,
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold,
		Threshold:          &a.threshold, Period: aws.Int32(metricPeriod), EvaluationPeriods: &a.periods,
		// SQS reports nothing of a queue that nobody has used for six hours.
		TreatMissingData: aws.String("notBreaching"),
	}
	if notify != "" {
		in.AlarmActions, in.OKActions = []string{notify}, []string{notify}
	}
	return in
}

// is reports whether the alarm matches the specification.
func (a *alarm) is(m *cwtypes.MetricAlarm, notify string) bool {
	notified := notify == "" && len(m.AlarmActions) == 0 || len(m.AlarmActions) == 1 && m.AlarmActions[0] == notify
	return notified && aws.ToString(m.Namespace) == metricNamespace && aws.ToString(m.MetricName) == a.metric &&
		dimension(m) == a.queue && aws.ToFloat64(m.Threshold) == a.threshold &&
		aws.ToInt32(m.EvaluationPeriods) == a.periods && aws.ToInt32(m.Period) == metricPeriod &&
		m.ComparisonOperator == cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold
}

// dimension is the queue that an alarm watches.
func dimension(m *cwtypes.MetricAlarm) string {
	for _, d := range m.Dimensions {
		if aws.ToString(d.Name) == "QueueName" {
			return aws.ToString(d.Value)
		}
	}
	return ""
}

func describeAlarm(ctx context.Context, client *cloudwatch.Client, name string) (*cwtypes.MetricAlarm, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := client.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{name}})
	if err != nil || len(out.MetricAlarms) == 0 {
		return nil, err
	}
	return &out.MetricAlarms[0], nil
}

// watched reports whether any alarm watches the queue for its depth.
func watched(ctx context.Context, client *cloudwatch.Client, queue string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	out, err := client.DescribeAlarmsForMetric(ctx, &cloudwatch.DescribeAlarmsForMetricInput{
		Namespace: aws.String(metricNamespace), MetricName: aws.String(metricVisible),
		Dimensions: []cwtypes.Dimension{{Name: aws.String("QueueName"), Value: &queue}},
	})
	if err != nil {
		return false, err
	}
	return len(out.MetricAlarms) > 0, nil
}

// oldestAge is the age of the queue's oldest message, as SQS last reported it to
// CloudWatch; false if it reported nothing.
func oldestAge(ctx context.Context, client *cloudwatch.Client, queue string) (time.Duration, bool, error) {
	now := time.Now()
	out, err := client.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String(metricNamespace), MetricName: aws.String(metricAge),
		Dimensions: []cwtypes.Dimension{{Name: aws.String("QueueName"), Value: &queue}},
		StartTime:  aws.Time(now.Add(-15 * time.Minute)), EndTime: &now, Period: aws.Int32(metricPeriod),
		Statistics: []cwtypes.Statistic{cwtypes.StatisticMaximum},
	})
	if err != nil {
		return 0, false, err
	}
	var latest cwtypes.Datapoint
	for _, p := range out.Datapoints {
		if latest.Timestamp == nil || p.Timestamp != nil && p.Timestamp.After(*latest.Timestamp) {
			latest = p
		}
	}
	if latest.Timestamp == nil {
		return 0, false, nil
	}
	return time.Duration(aws.ToFloat64(latest.Maximum) * float64(time.Second)), true, nil
}

var errNoCloudWatch = errors.New("the server at the endpoint has no CloudWatch")

// alarmFailure wraps an error of CloudWatch's.
func alarmFailure(ctx context.Context, queue, op string, err error) error {
	if err == nil {
		return nil
	}
	code, way := classifyError(err)
	// A server that implements only SQS answers every request in SQS's protocol.
	if foreign := (*smithy.DeserializationError)(nil); errors.As(err, &foreign) {
		return drivers.Wrap(ctx, drivers.Unsupported, queue, op, errNoCloudWatch, "")
	}
	if code == drivers.Denied {
		way = "grant cloudwatch:DescribeAlarms, cloudwatch:DescribeAlarmsForMetric, cloudwatch:GetMetricStatistics and cloudwatch:PutMetricAlarm"
	}
	return drivers.Wrap(ctx, code, queue, op, err, way)
}
