// Command schema-provider is a Terraform provider that knows schemas and calls no cloud: `init`, `validate` and `plan` run with it. It reads schema.json
// beside its binary. A plan has unknown values where a cloud would compute them.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

type attribute struct {
	Type                         json.RawMessage
	Computed, Optional, Required bool
}

type nestedBlock struct {
	Nesting  string
	Max, Min int64
	Block    block
}

type block struct {
	Attributes map[string]attribute
	Blocks     map[string]nestedBlock
}

type schemas struct {
	Provider    block
	Resources   map[string]block
	DataSources map[string]block
	// What a cloud computes and policies must see, by type and attribute; {name} is the value of the attribute "name".
	Answers map[string]map[string]any
}

type provider struct {
	tfprotov5.ProviderServer
	schemas     schemas
	defaultTags map[string]tftypes.Value
}

func typeOf(raw json.RawMessage) tftypes.Type {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		switch name {
		case "number":
			return tftypes.Number
		case "bool":
			return tftypes.Bool
		}
		return tftypes.String
	}
	var parts [2]json.RawMessage
	var kind string
	must(json.Unmarshal(raw, &parts))
	must(json.Unmarshal(parts[0], &kind))
	if kind == "object" {
		var fields map[string]json.RawMessage
		must(json.Unmarshal(parts[1], &fields))
		object := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
		for field, fieldType := range fields {
			object.AttributeTypes[field] = typeOf(fieldType)
		}
		return object
	}
	element := typeOf(parts[1])
	switch kind {
	case "set":
		return tftypes.Set{ElementType: element}
	case "map":
		return tftypes.Map{ElementType: element}
	}
	return tftypes.List{ElementType: element}
}

func isWriteOnly(name string) bool {
	return strings.HasSuffix(name, "_wo") && name != "has_secret_string_wo"
}

func schemaOf(b block) *tfprotov5.SchemaBlock {
	schema := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		schema.Attributes = append(schema.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: typeOf(a.Type), Computed: a.Computed, Optional: a.Optional, Required: a.Required, WriteOnly: isWriteOnly(name),
		})
	}
	for name, child := range b.Blocks {
		nested := &tfprotov5.SchemaNestedBlock{TypeName: name, MaxItems: child.Max, MinItems: child.Min, Block: schemaOf(child.Block)}
		switch child.Nesting {
		case "set":
			nested.Nesting = tfprotov5.SchemaNestedBlockNestingModeSet
		case "single":
			nested.Nesting, nested.MaxItems, nested.MinItems = tfprotov5.SchemaNestedBlockNestingModeSingle, 0, 0
		default:
			nested.Nesting = tfprotov5.SchemaNestedBlockNestingModeList
		}
		schema.BlockTypes = append(schema.BlockTypes, nested)
	}
	return schema
}

func (b block) valueType() tftypes.Type { return schemaOf(b).ValueType() }

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	answer := &tfprotov5.GetMetadataResponse{}
	for name := range p.schemas.Resources {
		answer.Resources = append(answer.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range p.schemas.DataSources {
		answer.DataSources = append(answer.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return answer, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	answer := &tfprotov5.GetProviderSchemaResponse{
		Provider:          &tfprotov5.Schema{Block: schemaOf(p.schemas.Provider)},
		ResourceSchemas:   map[string]*tfprotov5.Schema{},
		DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for name, b := range p.schemas.Resources {
		answer.ResourceSchemas[name] = &tfprotov5.Schema{Block: schemaOf(b)}
	}
	for name, b := range p.schemas.DataSources {
		answer.DataSourceSchemas[name] = &tfprotov5.Schema{Block: schemaOf(b)}
	}
	return answer, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, q *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: q.Config}, nil
}

// ConfigureProvider keeps `default_tags` (AWS) and `default_labels` (Google), which the provider lays under the tags of each resource.
func (p *provider) ConfigureProvider(_ context.Context, q *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	config, err := q.Config.Unmarshal(p.schemas.Provider.valueType())
	if err != nil {
		return nil, err
	}
	p.defaultTags = map[string]tftypes.Value{}
	fields := fieldsOf(config)
	merge(p.defaultTags, fields["default_labels"])
	if defaults, ok := fields["default_tags"]; ok && defaults.IsKnown() && !defaults.IsNull() {
		var blocks []tftypes.Value
		must(defaults.As(&blocks))
		for _, b := range blocks {
			merge(p.defaultTags, fieldsOf(b)["tags"])
		}
	}
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

// ValidateResourceTypeConfig checks what types do not: CIDR blocks and JSON documents.
func (p *provider) ValidateResourceTypeConfig(_ context.Context, q *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	config, err := q.Config.Unmarshal(p.schemas.Resources[q.TypeName].valueType())
	if err != nil {
		return nil, err
	}
	answer := &tfprotov5.ValidateResourceTypeConfigResponse{}
	err = tftypes.Walk(config, func(path *tftypes.AttributePath, value tftypes.Value) (bool, error) {
		if !value.IsKnown() || value.IsNull() || !value.Type().Is(tftypes.String) {
			return true, nil
		}
		var text string
		must(value.As(&text))
		if problem := problemOf(attributeName(path), text); problem != "" {
			answer.Diagnostics = append(answer.Diagnostics, &tfprotov5.Diagnostic{
				Severity: tfprotov5.DiagnosticSeverityError, Summary: problem, Attribute: path,
			})
		}
		return true, nil
	})
	return answer, err
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func attributeName(path *tftypes.AttributePath) string {
	steps := path.Steps()
	for i := len(steps) - 1; i >= 0; i-- {
		if name, ok := steps[i].(tftypes.AttributeName); ok {
			return string(name)
		}
	}
	return ""
}

func problemOf(name, text string) string {
	switch {
	case name == "cidr" || strings.HasSuffix(name, "cidr_block") || name == "cidr_blocks" || name == "cidr_ipv4" || name == "ip_cidr_range" || strings.HasSuffix(name, "_cidrs"):
		if _, network, err := net.ParseCIDR(text); err != nil {
			return fmt.Sprintf("%q is not a valid CIDR block", text)
		} else if network.String() != text {
			return fmt.Sprintf("%q is not a valid CIDR block: its network is %s", text, network)
		}
	case name == "policy" || name == "assume_role_policy":
		if !strings.HasPrefix(text, "arn:") && !json.Valid([]byte(text)) {
			return fmt.Sprintf("%q contains an invalid JSON policy", name)
		}
	}
	return ""
}

func (p *provider) UpgradeResourceState(_ context.Context, q *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	valueType := p.schemas.Resources[q.TypeName].valueType()
	value, err := q.RawState.Unmarshal(valueType)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov5.NewDynamicValue(valueType, value)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &state}, err
}

func (p *provider) ReadResource(_ context.Context, q *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: q.CurrentState}, nil
}

// ReadDataSource answers from schema.json, and elsewhere with a string that names the attribute.
func (p *provider) ReadDataSource(_ context.Context, q *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	b := p.schemas.DataSources[q.TypeName]
	config, err := q.Config.Unmarshal(b.valueType())
	if err != nil {
		return nil, err
	}
	fields := fieldsOf(config)
	for name, a := range b.Attributes {
		if a.Computed && fields[name].IsNull() && typeOf(a.Type).Is(tftypes.String) {
			fields[name] = tftypes.NewValue(tftypes.String, q.TypeName+"."+name)
		}
	}
	p.answer(q.TypeName, b, fields)
	state, err := tfprotov5.NewDynamicValue(b.valueType(), tftypes.NewValue(b.valueType(), fields))
	return &tfprotov5.ReadDataSourceResponse{State: &state}, err
}

// answer sets the attributes that schema.json has values for.
func (p *provider) answer(typeName string, b block, fields map[string]tftypes.Value) {
	for name, answer := range p.schemas.Answers[typeName] {
		fields[name] = valueOf(typeOf(b.Attributes[name].Type), answer, fields)
	}
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func valueOf(valueType tftypes.Type, answer any, fields map[string]tftypes.Value) tftypes.Value {
	switch kind := valueType.(type) {
	case tftypes.List:
		elements := []tftypes.Value{}
		for _, element := range answer.([]any) {
			elements = append(elements, valueOf(kind.ElementType, element, fields))
		}
		return tftypes.NewValue(valueType, elements)
	case tftypes.Object:
		values := map[string]tftypes.Value{}
		for name, fieldType := range kind.AttributeTypes {
			values[name] = valueOf(fieldType, answer.(map[string]any)[name], fields)
		}
		return tftypes.NewValue(valueType, values)
	}
	known := true
	text := placeholder.ReplaceAllStringFunc(answer.(string), func(match string) string {
		var value string
		field := fields[match[1:len(match)-1]]
		if field.IsKnown() && !field.IsNull() {
			must(field.As(&value))
		} else {
			known = false
		}
		return value
	})
	if !known {
		return tftypes.NewValue(valueType, tftypes.UnknownValue)
	}
	return tftypes.NewValue(valueType, text)
}

// PlanResourceChange leaves unknown what the cloud computes, and computes `tags_all` as the provider does.
func (p *provider) PlanResourceChange(_ context.Context, q *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	b := p.schemas.Resources[q.TypeName]
	proposed, err := q.ProposedNewState.Unmarshal(b.valueType())
	if err != nil {
		return nil, err
	}
	if proposed.IsNull() {
		return &tfprotov5.PlanResourceChangeResponse{PlannedState: q.ProposedNewState}, nil
	}
	planned := planBlock(b, proposed)
	fields := fieldsOf(planned)
	p.answer(q.TypeName, b, fields)
	for all, own := range map[string]string{"tags_all": "tags", "effective_labels": "labels"} {
		if _, has := fields[all]; has {
			tags := map[string]tftypes.Value{}
			for name, value := range p.defaultTags {
				tags[name] = value
			}
			merge(tags, fields[own])
			fields[all] = tftypes.NewValue(tftypes.Map{ElementType: tftypes.String}, tags)
		}
	}
	state, err := tfprotov5.NewDynamicValue(b.valueType(), tftypes.NewValue(b.valueType(), fields))
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: &state, UnsafeToUseLegacyTypeSystem: true}, err
}

func planBlock(b block, value tftypes.Value) tftypes.Value {
	if value.IsNull() || !value.IsKnown() {
		return value
	}
	fields := fieldsOf(value)
	for name, a := range b.Attributes {
		switch {
		case isWriteOnly(name):
			fields[name] = tftypes.NewValue(typeOf(a.Type), nil)
		case a.Computed && fields[name].IsNull():
			fields[name] = tftypes.NewValue(typeOf(a.Type), tftypes.UnknownValue)
		}
	}
	for name, child := range b.Blocks {
		fields[name] = planNested(child, fields[name])
	}
	return tftypes.NewValue(value.Type(), fields)
}

func planNested(child nestedBlock, value tftypes.Value) tftypes.Value {
	if value.IsNull() || !value.IsKnown() {
		return value
	}
	if child.Nesting == "single" {
		return planBlock(child.Block, value)
	}
	var elements []tftypes.Value
	must(value.As(&elements))
	for i, element := range elements {
		elements[i] = planBlock(child.Block, element)
	}
	return tftypes.NewValue(value.Type(), elements)
}

func fieldsOf(value tftypes.Value) map[string]tftypes.Value {
	fields := map[string]tftypes.Value{}
	must(value.As(&fields))
	return fields
}

func merge(tags map[string]tftypes.Value, more tftypes.Value) {
	if more.Type() == nil || more.IsNull() || !more.IsKnown() {
		return
	}
	for name, value := range fieldsOf(more) {
		tags[name] = value
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	binary, err := os.Executable()
	must(err)
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(binary), "schema.json"))
	must(err)
	var s schemas
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	must(decoder.Decode(&s))
	must(tf5server.Serve("registry.opentofu.org/headwater/schema", func() tfprotov5.ProviderServer { return &provider{schemas: s} }))
}
