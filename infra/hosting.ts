/**
 * The pages in an account: buckets that nobody but the distribution reads, and the distribution, which has the pages, the
 * HTTP API and the WebSocket API behind one origin.
 *
 *   /assets/*     the bucket; kept for ever, since names change with the content
 *   /pictures/*   the bucket of pictures that operators have brought; kept for an hour
 *   /embed/*      the bucket; what pages of others load, which is said to them
 *   /api/*        the HTTP API without the prefix; never kept
 *   /<stage>      the WebSocket API
 *   /sales/*      the page of a sale and its picture, which a function draws; kept for a minute for each language
 *   all others    the bucket, asked anew each time; only the addresses in web/paths.ts, others are not there
 *
 * Invariant: the pages' headers are those of web/headers.ts, which the local server sends too. Called by the plugin.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { edgeHostHeader, edgeKeyHeader, edgeViewerHeader } from '#platform/security/edge.ts';
import { pageHeaders } from '#web/headers.ts';
import { pageFiles, shopPaths } from '#web/paths.ts';

export interface Hosting {
  readonly stage: string;
  /** A domain of one's own and the certificate for it; both, or neither. */
  readonly domain: string;
  readonly certificate: string;
}

interface Declared {
  Type: string;
  Properties: Record<string, unknown>;
  DeletionPolicy?: 'Retain';
  UpdateReplacePolicy?: 'Retain';
}

const ref = (logicalId: string) => ({ Ref: logicalId });
const sub = (text: string) => ({ 'Fn::Sub': text });
const attribute = (logicalId: string, name: string) => ({ 'Fn::GetAtt': [logicalId, name] });

/** Policies that CloudFront itself keeps. */
const kept = {
  cachingOptimized: '658327ea-f89d-4fab-a63d-7e88639e58f6',
  cachingDisabled: '4135ea2d-6df8-44a3-9df3-4b5a84be39ad',
  allViewerExceptHostHeader: 'b689b0a8-53d0-40ab-baf2-68738e2966ac',
};

/** Where the console brings pictures. */
export const picturesOrigin = `https://\${PicturesBucket.RegionalDomainName}`;

const reading = ['GET', 'HEAD'];
const calling = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'POST', 'PATCH', 'DELETE'];

/** The code at the edge, with the addresses of the pages in it. */
export function edgeCode(): string {
  const files = Object.fromEntries([
    ...shopPaths.map((path) => [path, '/index.html']),
    ...pageFiles.map((path) => [path, path]),
  ]);
  const code = readFileSync(join(import.meta.dirname, 'edge', 'viewer.js'), 'utf8');
  return code.replace("'FILES'", () => `'${JSON.stringify(files)}'`);
}

/** A bucket of this stack: encrypted, closed to the public, and read by the distribution alone, over TLS, under a prefix. */
function closedBucket(logicalId: string, prefix = '', more: Record<string, unknown> = {}): Record<string, Declared> {
  const shown = sub(`\${${logicalId}.Arn}/${prefix}*`);
  return {
    [logicalId]: {
      Type: 'AWS::S3::Bucket',
      // A stack that is deleted leaves it: CloudFormation deletes no bucket that has something in it.
      DeletionPolicy: 'Retain',
      UpdateReplacePolicy: 'Retain',
      Properties: {
        BucketEncryption: {
          ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
        },
        OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
        ...more,
      },
    },
    [`${logicalId}Policy`]: {
      Type: 'AWS::S3::BucketPolicy',
      Properties: {
        Bucket: ref(logicalId),
        PolicyDocument: {
          Version: '2012-10-17',
          Statement: [
            {
              Effect: 'Allow',
              Principal: { Service: 'cloudfront.amazonaws.com' },
              Action: 's3:GetObject',
              Resource: shown,
              Condition: {
                StringEquals: {
                  'aws:SourceArn': sub(
                    `arn:\${AWS::Partition}:cloudfront::\${AWS::AccountId}:distribution/\${Distribution}`,
                  ),
                },
              },
            },
            {
              Effect: 'Deny',
              Principal: '*',
              Action: 's3:*',
              Resource: [attribute(logicalId, 'Arn'), sub(`\${${logicalId}.Arn}/*`)],
              Condition: { Bool: { 'aws:SecureTransport': 'false' } },
            },
          ],
        },
      },
    },
  };
}

/** What the pages need in a template. */
export function hostingResources({ stage, domain, certificate }: Hosting): Record<string, Declared> {
  if (!domain !== !certificate) throw new Error('serverless.yml: pagesDomain and pagesCertificate belong together');
  /** Names of policies are an account's, in all regions. */
  const named = (what: string) => sub(`holdfast-${stage}-\${AWS::Region}-${what}`);
  return {
    ...closedBucket('PagesBucket'),
    ...closedBucket('PicturesBucket', 'pictures/', {
      // Files that were brought and never shown.
      LifecycleConfiguration: { Rules: [{ Status: 'Enabled', Prefix: 'incoming/', ExpirationInDays: 1 }] },
      // The console brings files from the pages' origin; a form is what lets one pass.
      CorsConfiguration: {
        CorsRules: [{ AllowedMethods: ['POST'], AllowedOrigins: [domain ? `https://${domain}` : '*'], MaxAge: 600 }],
      },
    }),
    PicturesName: {
      Type: 'AWS::SSM::Parameter',
      Properties: {
        Name: `/holdfast/${stage}/bucket/pictures`,
        Type: 'String',
        Value: sub(`${picturesOrigin}/?name=\${PicturesBucket}`),
      },
    },
    PagesAccess: {
      Type: 'AWS::CloudFront::OriginAccessControl',
      Properties: {
        OriginAccessControlConfig: {
          Name: named('pages'),
          OriginAccessControlOriginType: 's3',
          SigningBehavior: 'always',
          SigningProtocol: 'sigv4',
        },
      },
    },
    PagesHeaders: {
      Type: 'AWS::CloudFront::ResponseHeadersPolicy',
      Properties: { ResponseHeadersPolicyConfig: { Name: named('pages'), SecurityHeadersConfig: securityHeaders() } },
    },
    EmbedHeaders: {
      Type: 'AWS::CloudFront::ResponseHeadersPolicy',
      Properties: {
        ResponseHeadersPolicyConfig: {
          Name: named('embed'),
          SecurityHeadersConfig: securityHeaders(),
          CorsConfig: {
            AccessControlAllowCredentials: false,
            AccessControlAllowHeaders: { Items: ['*'] },
            AccessControlAllowMethods: { Items: ['GET', 'HEAD'] },
            AccessControlAllowOrigins: { Items: ['*'] },
            OriginOverride: true,
          },
        },
      },
    },
    // By the language, where it was asked for, and the code of a sale that asks for one: the page of a sale is the same for everybody.
    PreviewsKept: {
      Type: 'AWS::CloudFront::CachePolicy',
      Properties: {
        CachePolicyConfig: {
          Name: named('previews'),
          MinTTL: 0,
          DefaultTTL: 0,
          MaxTTL: 86_400,
          ParametersInCacheKeyAndForwardedToOrigin: {
            EnableAcceptEncodingGzip: true,
            EnableAcceptEncodingBrotli: true,
            HeadersConfig: { HeaderBehavior: 'whitelist', Headers: ['Accept-Language', edgeHostHeader] },
            CookiesConfig: { CookieBehavior: 'none' },
            QueryStringsConfig: { QueryStringBehavior: 'whitelist', QueryStrings: ['code'] },
          },
        },
      },
    },
    PreviewsAsked: {
      Type: 'AWS::CloudFront::OriginRequestPolicy',
      Properties: {
        OriginRequestPolicyConfig: {
          Name: named('previews'),
          HeadersConfig: { HeaderBehavior: 'whitelist', Headers: [edgeViewerHeader] },
          CookiesConfig: { CookieBehavior: 'none' },
          QueryStringsConfig: { QueryStringBehavior: 'none' },
        },
      },
    },
    PagesEdge: {
      Type: 'AWS::CloudFront::Function',
      Properties: {
        Name: named('edge'),
        AutoPublish: true,
        FunctionCode: edgeCode(),
        FunctionConfig: { Comment: named('edge'), Runtime: 'cloudfront-js-2.0' },
      },
    },
    Distribution: {
      Type: 'AWS::CloudFront::Distribution',
      Properties: { DistributionConfig: distribution({ stage, domain, certificate }) },
    },
  };
}

/** What `infra/pages.ts` reads to bring the pages there. */
export function hostingOutputs() {
  return {
    PagesBucketName: { Description: 'Where the built pages are', Value: ref('PagesBucket') },
    PagesAddress: { Description: 'Where the pages are seen', Value: attribute('Distribution', 'DomainName') },
    ApiAddress: { Description: "The HTTP API's own address", Value: attribute('HttpApi', 'ApiEndpoint') },
  };
}

/** Which header each is, as CloudFront names those that it knows. */
function securityHeaders() {
  const headers = pageHeaders({ connect: [picturesOrigin] });
  return {
    ContentSecurityPolicy: { ContentSecurityPolicy: sub(headers['content-security-policy']), Override: true },
    ContentTypeOptions: { Override: true },
    FrameOptions: { FrameOption: 'DENY', Override: true },
    ReferrerPolicy: { ReferrerPolicy: headers['referrer-policy'], Override: true },
    StrictTransportSecurity: { AccessControlMaxAgeSec: 63_072_000, IncludeSubdomains: true, Override: true },
  };
}

function distribution({ stage, domain, certificate }: Hosting) {
  const atEdge = (...when: string[]) =>
    when.map((EventType) => ({ EventType, FunctionARN: attribute('PagesEdge', 'FunctionARN') }));
  const pages = {
    TargetOriginId: 'pages',
    ViewerProtocolPolicy: 'redirect-to-https',
    AllowedMethods: reading,
    Compress: true,
    CachePolicyId: kept.cachingOptimized,
    ResponseHeadersPolicyId: ref('PagesHeaders'),
  };
  const passedOn = {
    ViewerProtocolPolicy: 'https-only',
    AllowedMethods: calling,
    CachePolicyId: kept.cachingDisabled,
    OriginRequestPolicyId: kept.allViewerExceptHostHeader,
  };
  return {
    Comment: `holdfast-${stage}`,
    Enabled: true,
    HttpVersion: 'http2and3',
    IPV6Enabled: true,
    ...(domain
      ? {
          Aliases: [domain],
          ViewerCertificate: {
            AcmCertificateArn: certificate,
            MinimumProtocolVersion: 'TLSv1.2_2021',
            SslSupportMethod: 'sni-only',
          },
        }
      : {}),
    Origins: [
      {
        Id: 'pages',
        DomainName: attribute('PagesBucket', 'RegionalDomainName'),
        OriginAccessControlId: ref('PagesAccess'),
        S3OriginConfig: {},
      },
      {
        Id: 'pictures',
        DomainName: attribute('PicturesBucket', 'RegionalDomainName'),
        OriginAccessControlId: ref('PagesAccess'),
        S3OriginConfig: {},
      },
      origin('api', 'HttpApi', [
        { HeaderName: edgeKeyHeader, HeaderValue: sub(`{{resolve:secretsmanager:\${EdgeKey}}}`) },
      ]),
      origin('websocket', 'WebsocketsApi'),
    ],
    DefaultCacheBehavior: { ...pages, FunctionAssociations: atEdge('viewer-request') },
    CacheBehaviors: [
      { ...pages, PathPattern: '/assets/*' },
      { ...pages, PathPattern: '/pictures/*', TargetOriginId: 'pictures' },
      // A module of another page is loaded only where it says that it may be.
      { ...pages, PathPattern: '/embed/*', ResponseHeadersPolicyId: ref('EmbedHeaders') },
      {
        ...passedOn,
        PathPattern: '/api/*',
        TargetOriginId: 'api',
        FunctionAssociations: atEdge('viewer-request', 'viewer-response'),
      },
      {
        ...pages,
        PathPattern: '/sales/*',
        TargetOriginId: 'api',
        CachePolicyId: ref('PreviewsKept'),
        OriginRequestPolicyId: ref('PreviewsAsked'),
        FunctionAssociations: atEdge('viewer-request'),
      },
      // Under the name that API Gateway expects, so that nothing has to be rewritten on a connection that stays open.
      { ...passedOn, PathPattern: `/${stage}`, TargetOriginId: 'websocket' },
    ],
  };
}

function origin(Id: string, api: string, headers: object[] = []) {
  return {
    Id,
    DomainName: sub(`\${${api}}.execute-api.\${AWS::Region}.\${AWS::URLSuffix}`),
    CustomOriginConfig: { OriginProtocolPolicy: 'https-only', OriginSSLProtocols: ['TLSv1.2'] },
    ...(headers.length > 0 ? { OriginCustomHeaders: headers } : {}),
  };
}
