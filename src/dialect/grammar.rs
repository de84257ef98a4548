//! The grammar that the parser reads: sqlparser's Snowflake dialect, with what it lacks. It parses nothing itself.

use std::any::TypeId;

use sqlparser::ast::{ColumnOption, Ident, ObjectNamePart, Statement};
use sqlparser::dialect::{Dialect, SnowflakeDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// Snowflake's grammar.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Grammar;

impl Dialect for Grammar {
    fn dialect(&self) -> TypeId {
        TypeId::of::<SnowflakeDialect>()
    }

    /// `FROM t WINDOW w AS (…)` names a window, not the table.
    fn is_table_alias(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        let next = |at: usize| parser.peek_nth_token_ref(at).token.clone();
        let names_window = *kw == Keyword::WINDOW
            && matches!(next(0), Token::Word(_))
            && matches!(next(1), Token::Word(word) if word.keyword == Keyword::AS)
            && next(2) == Token::LParen;
        !names_window && SnowflakeDialect.is_table_alias(kw, parser)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        SnowflakeDialect.is_identifier_start(ch)
    }

    fn supports_projection_trailing_commas(&self) -> bool {
        SnowflakeDialect.supports_projection_trailing_commas()
    }

    fn supports_from_trailing_commas(&self) -> bool {
        SnowflakeDialect.supports_from_trailing_commas()
    }

    fn supports_object_name_double_dot_notation(&self) -> bool {
        SnowflakeDialect.supports_object_name_double_dot_notation()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        SnowflakeDialect.is_identifier_part(ch)
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        SnowflakeDialect.supports_string_literal_backslash_escape()
    }

    fn supports_within_after_array_aggregation(&self) -> bool {
        SnowflakeDialect.supports_within_after_array_aggregation()
    }

    fn supports_outer_join_operator(&self) -> bool {
        SnowflakeDialect.supports_outer_join_operator()
    }

    fn supports_connect_by(&self) -> bool {
        SnowflakeDialect.supports_connect_by()
    }

    fn supports_execute_immediate(&self) -> bool {
        SnowflakeDialect.supports_execute_immediate()
    }

    fn supports_match_recognize(&self) -> bool {
        SnowflakeDialect.supports_match_recognize()
    }

    fn supports_dictionary_syntax(&self) -> bool {
        SnowflakeDialect.supports_dictionary_syntax()
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        SnowflakeDialect.supports_window_function_null_treatment_arg()
    }

    fn supports_parenthesized_set_variables(&self) -> bool {
        SnowflakeDialect.supports_parenthesized_set_variables()
    }

    fn supports_comment_on(&self) -> bool {
        SnowflakeDialect.supports_comment_on()
    }

    fn supports_extract_comma_syntax(&self) -> bool {
        SnowflakeDialect.supports_extract_comma_syntax()
    }

    fn supports_subquery_as_function_arg(&self) -> bool {
        SnowflakeDialect.supports_subquery_as_function_arg()
    }

    fn supports_create_view_comment_syntax(&self) -> bool {
        SnowflakeDialect.supports_create_view_comment_syntax()
    }

    fn supports_array_typedef_without_element_type(&self) -> bool {
        SnowflakeDialect.supports_array_typedef_without_element_type()
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        SnowflakeDialect.supports_parens_around_table_factor()
    }

    fn supports_values_as_table_factor(&self) -> bool {
        SnowflakeDialect.supports_values_as_table_factor()
    }

    fn parse_statement(&self, parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
        SnowflakeDialect.parse_statement(parser)
    }

    fn parse_column_option(
        &self,
        parser: &mut Parser<'_>,
    ) -> Result<Option<Result<Option<ColumnOption>, ParserError>>, ParserError> {
        SnowflakeDialect.parse_column_option(parser)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        SnowflakeDialect.get_next_precedence(parser)
    }

    fn describe_requires_table_keyword(&self) -> bool {
        SnowflakeDialect.describe_requires_table_keyword()
    }

    fn allow_extract_custom(&self) -> bool {
        SnowflakeDialect.allow_extract_custom()
    }

    fn allow_extract_single_quotes(&self) -> bool {
        SnowflakeDialect.allow_extract_single_quotes()
    }

    fn supports_show_like_before_in(&self) -> bool {
        SnowflakeDialect.supports_show_like_before_in()
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        SnowflakeDialect.supports_left_associative_joins_without_parens()
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        SnowflakeDialect.is_reserved_for_identifier(kw)
    }

    fn supports_partiql(&self) -> bool {
        SnowflakeDialect.supports_partiql()
    }

    fn is_column_alias(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        SnowflakeDialect.is_column_alias(kw, parser)
    }

    fn is_table_factor(&self, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        SnowflakeDialect.is_table_factor(kw, parser)
    }

    fn supports_table_versioning(&self) -> bool {
        SnowflakeDialect.supports_table_versioning()
    }

    fn supports_group_by_expr(&self) -> bool {
        SnowflakeDialect.supports_group_by_expr()
    }

    fn get_reserved_keywords_for_select_item_operator(&self) -> &[Keyword] {
        SnowflakeDialect.get_reserved_keywords_for_select_item_operator()
    }

    fn supports_space_separated_column_options(&self) -> bool {
        SnowflakeDialect.supports_space_separated_column_options()
    }

    fn supports_comma_separated_drop_column_list(&self) -> bool {
        SnowflakeDialect.supports_comma_separated_drop_column_list()
    }

    fn is_identifier_generating_function_name(&self, ident: &Ident, name_parts: &[ObjectNamePart]) -> bool {
        SnowflakeDialect.is_identifier_generating_function_name(ident, name_parts)
    }

    fn supports_select_expr_star(&self) -> bool {
        SnowflakeDialect.supports_select_expr_star()
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        SnowflakeDialect.supports_select_wildcard_exclude()
    }

    fn supports_semantic_view_table_factor(&self) -> bool {
        SnowflakeDialect.supports_semantic_view_table_factor()
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        SnowflakeDialect.supports_select_wildcard_replace()
    }

    fn supports_select_wildcard_ilike(&self) -> bool {
        SnowflakeDialect.supports_select_wildcard_ilike()
    }

    fn supports_select_wildcard_rename(&self) -> bool {
        SnowflakeDialect.supports_select_wildcard_rename()
    }

    fn supports_lambda_functions(&self) -> bool {
        SnowflakeDialect.supports_lambda_functions()
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        SnowflakeDialect.supports_comma_separated_trim()
    }
}
