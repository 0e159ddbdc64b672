//! DescribeAcls, CreateAcls, DeleteAcls (APIs 29 to 31): there is no authorizer yet, and Kafka's answer to that.

use super::{Answer, Refused, Request, text};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};

const WHY: &str = "No Authorizer is configured.";

pub(crate) fn describe(request: &Request) -> Result<Answer, Refused> {
    let _: DescribeAclsRequest = request.decode()?;
    let code = ResponseError::SecurityDisabled.code();
    let response = DescribeAclsResponse::default().with_error_code(code).with_error_message(Some(text(WHY)));
    request.answer(&response, code)
}

pub(crate) fn create(request: &Request) -> Result<Answer, Refused> {
    let wanted: CreateAclsRequest = request.decode()?;
    let code = ResponseError::SecurityDisabled.code();
    let result = AclCreationResult::default().with_error_code(code).with_error_message(Some(text(WHY)));
    let results = vec![result; wanted.creations.len()];
    request.answer(&CreateAclsResponse::default().with_results(results), code)
}

pub(crate) fn delete(request: &Request) -> Result<Answer, Refused> {
    let wanted: DeleteAclsRequest = request.decode()?;
    let code = ResponseError::SecurityDisabled.code();
    let result = DeleteAclsFilterResult::default().with_error_code(code).with_error_message(Some(text(WHY)));
    let results = vec![result; wanted.filters.len()];
    request.answer(&DeleteAclsResponse::default().with_filter_results(results), code)
}
